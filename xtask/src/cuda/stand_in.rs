//! What stands in for NVIDIA's compiler where code is checked and never run.
//!
//! candle's kernels take minutes to compile, and a check of Rust needs but the names of the files that come out.

use anyhow::{Context, Result};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// That of no GPU: the build script keeps what was compiled by capability, and must never take an empty file of
/// these for a kernel.
pub(super) const CAPABILITY: &str = "1";

/// It writes each file that it is asked for, empty.
const SCRIPT: &str = r#"#!/bin/sh
before= folder=
for word; do
    case $before in
        -o) : > "$word" ;;
        --output-directory) folder=$word ;;
    esac
    before=$word
done
if [ -n "$folder" ]; then
    : > "$folder/$(basename "$before" .cu).ptx"
fi
"#;

/// Writes the program, and tells where it lies.
///
/// # Errors
/// When the folder can't be written.
pub(super) fn write(folder: &Path) -> Result<PathBuf> {
    let program = folder.join("bin/nvcc");
    // Written anew it would seem changed to build scripts.
    if fs::read_to_string(&program).is_ok_and(|text| text == SCRIPT) {
        return Ok(program);
    }
    let failed = || format!("can't write {}", program.display());
    fs::create_dir_all(folder.join("bin")).with_context(failed)?;
    fs::write(&program, SCRIPT).with_context(failed)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).with_context(failed)?;
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::env;
    use std::process::Command;

    #[test]
    fn it_writes_what_it_is_asked_for() {
        let folder = env::temp_dir().join(format!("chandler-stand-in-{}", std::process::id()));
        let program = write(&folder).expect("a program");
        let object = folder.join("a b.o");
        let ptx = ["--ptx", "--output-directory"];
        let calls = [
            Command::new(&program)
                .args(ptx)
                .arg(&folder)
                .arg("src/one.cu")
                .status(),
            Command::new(&program)
                .args(["-c", "-o"])
                .arg(&object)
                .arg("two.cu")
                .status(),
            Command::new(&program).arg("--version").status(),
        ];
        let succeeded = calls.map(|status| status.is_ok_and(|status| status.success()));
        let files = [folder.join("one.ptx"), object].map(|file| file.is_file());
        fs::remove_dir_all(&folder).expect("removed");
        assert_eq!((succeeded, files), ([true; 3], [true; 2]));
    }
}
