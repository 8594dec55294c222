//! llama.cpp's own server, built from the sources that llama-cpp-python ships.

use crate::{shell, venv};
use anyhow::{Context, Result};
use chandler_e2e::process::{Process, wait_until};
use chandler_e2e::{Api, PATIENCE, layout};
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

/// The package whose sources hold llama.cpp's.
const PACKAGE: &str = "llama-cpp-python";
const VERSION: &str = "0.3.36";
const FOLDER: &str = "target/bench/llama.cpp";

/// A running server.
#[derive(Debug)]
pub(super) struct LlamaCpp {
    process: Process,
    api: Api,
}

/// Builds the server where that isn't done yet, for the processor that it runs on; tells where it lies.
///
/// # Errors
/// When the sources can't be had, or cmake or a compiler is missing.
pub(super) fn build() -> Result<PathBuf> {
    let folder = layout::root().join(FOLDER);
    let program = folder.join("build/bin/llama-server");
    if program.is_file() {
        return Ok(program);
    }
    println!("building llama.cpp's server; that takes many minutes");
    fs::create_dir_all(&folder)?;
    let sources = folder.join(format!("llama_cpp_python-{VERSION}/vendor/llama.cpp"));
    if !sources.is_dir() {
        unpack(&folder)?;
    }
    let configured = [
        "-DCMAKE_BUILD_TYPE=Release",
        "-DBUILD_SHARED_LIBS=OFF",
        "-DLLAMA_BUILD_TESTS=OFF",
        "-DLLAMA_BUILD_EXAMPLES=OFF",
        "-DLLAMA_OPENSSL=OFF",
        "-DLLAMA_BUILD_UI=OFF",
    ];
    let mut configure = shell::command("cmake");
    configure.arg("-S").arg(&sources).arg("-B");
    configure.arg(folder.join("build")).args(configured);
    shell::run(&mut configure).context("install cmake and a C++ compiler")?;
    let mut make = shell::command("cmake");
    make.arg("--build").arg(folder.join("build"));
    shell::run(make.args(["--target", "llama-server", "--parallel"]))?;
    Ok(program)
}

fn unpack(folder: &Path) -> Result<()> {
    let python = venv::python_with_pip()?;
    let mut download = shell::command(python);
    download.args(["-m", "pip", "download", "--quiet", "--no-deps"]);
    download.args(["--no-binary", PACKAGE, "-d"]).arg(folder);
    shell::run(download.arg(format!("{PACKAGE}=={VERSION}")))?;
    let mut untar = shell::command("tar");
    untar.arg("-xzf");
    untar.arg(folder.join(format!("llama_cpp_python-{VERSION}.tar.gz")));
    shell::run(untar.arg("-C").arg(folder))
}

impl LlamaCpp {
    /// Serves a file with so many threads to so many streams of `context` tokens each.
    ///
    /// # Errors
    /// When it does not come up; with what it wrote.
    pub(super) fn start(
        program: &Path,
        file: &Path,
        threads: usize,
        streams: usize,
        context: usize,
    ) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = shell::command(program);
        command.arg("--model").arg(file);
        for (flag, value) in [
            ("--threads", threads),
            ("--threads-batch", threads),
            ("--parallel", streams),
            ("--ctx-size", streams * context),
            ("--port", port.into()),
        ] {
            command.arg(flag).arg(value.to_string());
        }
        let process = Process::start(&mut command)?;
        let api = Api::new(&format!("127.0.0.1:{port}"));
        let healthy = || api.get("/health").is_ok_and(|reply| reply.status == 200);
        wait_until("llama.cpp to load the model", PATIENCE, healthy)
            .with_context(|| format!("it wrote:\n{}", process.output().text()))?;
        Ok(Self { process, api })
    }

    /// A client of it.
    pub(super) fn api(&self) -> &Api {
        &self.api
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// What it is, with the version of the package that it came with.
    pub(super) fn name(&self) -> &'static str {
        "llama.cpp (llama-cpp-python 0.3.36)"
    }
}
