//! What the server with CUDA is linked with: libraries that have the names of NVIDIA's, and none of their code.
//!
//! The real ones come with the driver or take most of a gigabyte; linking needs but the names of their functions.

use crate::shell::{capture, cargo, command, run};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// A library, what programs that were linked with it ask for, the folder of its functions below cudarc's
/// sources, and how their names begin.
const LIBRARIES: [(&str, &str, &str, &str); 5] = [
    ("cuda", "libcuda.so.1", "driver", "cu"),
    ("cublas", "libcublas.so.13", "cublas", "cublas"),
    ("cublasLt", "libcublasLt.so.13", "cublaslt", "cublasLt"),
    ("curand", "libcurand.so.10", "curand", "curand"),
    ("nvrtc", "libnvrtc.so.13", "nvrtc", "nvrtc"),
];

/// Returns `CUDA_ERROR_NO_DEVICE`, in case a program is run with these libraries.
const BODY: &str = if cfg!(target_arch = "aarch64") {
    "mov w0, #100\n ret"
} else {
    "movl $100, %eax\n ret"
};

/// Writes them to where build scripts look for them in the toolkit at `root`.
///
/// # Errors
/// When cudarc's sources or a C compiler are missing, or the folder can't be written.
pub(super) fn write(root: &Path) -> Result<()> {
    let folder = root.join("lib/stubs");
    fs::create_dir_all(&folder).with_context(|| format!("can't make {}", folder.display()))?;
    let sources = cudarc()?;
    for (library, soname, part, prefix) in LIBRARIES {
        let source = sources.join("src").join(part).join("sys/mod.rs");
        let text = fs::read_to_string(&source)
            .with_context(|| format!("can't read {}", source.display()))?;
        let names = functions(&text, prefix);
        if names.is_empty() {
            bail!("{} declares no {prefix} functions", source.display());
        }
        let assembly = folder.join(format!("{library}.s"));
        fs::write(&assembly, assemble(&names))
            .with_context(|| format!("can't write {}", assembly.display()))?;
        run(command("cc")
            .args(["-shared", "-nostdlib", "-o"])
            .arg(folder.join(format!("lib{library}.so")))
            .arg(format!("-Wl,-soname,{soname}"))
            .arg(&assembly))?;
    }
    // The one that the toolkit has may be linked in, so that nobody has to install it.
    let runtime = folder.join("libcudart.a");
    fs::copy(root.join("lib/libcudart_static.a"), &runtime)
        .with_context(|| format!("can't write {}", runtime.display()))?;
    Ok(())
}

/// Where cargo keeps the sources of the crate that calls these libraries.
fn cudarc() -> Result<PathBuf> {
    let mut metadata = cargo(&["metadata", "--format-version", "1"]);
    let told = capture(metadata.args(["--features", super::FEATURE]))?;
    let told: Value = serde_json::from_str(&told).context("cargo metadata wrote no JSON")?;
    let packages = told["packages"].as_array().into_iter().flatten();
    let mut found = packages.filter(|package| package["name"] == "cudarc");
    let manifest = found.find_map(|package| package["manifest_path"].as_str());
    let folder = manifest.and_then(|manifest| Path::new(manifest).parent());
    Ok(folder.context("no package cudarc is known")?.to_owned())
}

/// The names of functions that begin in this way, among what a Rust file declares.
fn functions<'a>(source: &'a str, prefix: &str) -> BTreeSet<&'a str> {
    let declared = source.split(" fn ").skip(1);
    let names = declared.filter_map(|rest| rest.split(['(', '<']).next());
    names.filter(|name| name.starts_with(prefix)).collect()
}

/// A function of each of these names.
fn assemble(names: &BTreeSet<&str>) -> String {
    let mut text = " .text\n".to_owned();
    for name in names {
        let _ = write!(
            text,
            " .globl {name}\n .type {name}, %function\n{name}:\n {BODY}\n"
        );
    }
    // Without it linkers assume that the stack has to be executable.
    text.push_str(" .section .note.GNU-stack,\"\",%progbits\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_functions_become_labels() {
        let source = "extern \"C\" {\n fn cuInit(Flags: u32) -> CUresult;\n pub fn other();\n}\n";
        let names = functions(source, "cu");
        assert_eq!(names, BTreeSet::from(["cuInit"]));
        let text = assemble(&names);
        assert!(text.contains("\ncuInit:\n"), "{text}");
        assert!(!text.contains("other"), "{text}");
    }
}
