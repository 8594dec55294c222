//! The real models that tests run.

// Each test binary uses some of these.
#![allow(dead_code)]

use std::path::{Path, PathBuf};

use chandler_server::load::{
    DtypeChoice, EmbeddingModel, LoadOptions, LoadedModel, TextModel, load,
};

/// Folder of the model `name`.
///
/// # Panics
/// Where the models are not there yet.
pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../target/models")
        .join(name);
    assert!(
        folder.is_dir(),
        "{} is missing: run `cargo xtask models` first",
        folder.display()
    );
    folder
}

/// All files below `root`, relative to it.
pub(crate) fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(root).expect("below root").to_owned());
            }
        }
    }
    found
}

fn load_model(name: &str, options: &LoadOptions) -> LoadedModel {
    let root = folder(name);
    load(&root, &files(&root), options, &|_, _| {}).expect("a model")
}

pub(crate) fn smollm2() -> TextModel {
    smollm2_as(DtypeChoice::Auto)
}

/// Without rounding of what flows through the network.
pub(crate) fn smollm2_widened() -> TextModel {
    smollm2_as(DtypeChoice::F32)
}

fn smollm2_as(dtype: DtypeChoice) -> TextModel {
    let options = LoadOptions {
        dtype,
        ..LoadOptions::default()
    };
    match load_model("smollm2-135m-instruct", &options) {
        LoadedModel::Text(model) => model,
        _ => panic!("a model of the wrong kind"),
    }
}

pub(crate) fn minilm() -> EmbeddingModel {
    minilm_as(&LoadOptions::default())
}

/// By what devices without kernels of ours compute with.
pub(crate) fn minilm_by_tensor_ops() -> EmbeddingModel {
    minilm_as(&LoadOptions {
        tensor_ops: true,
        ..LoadOptions::default()
    })
}

fn minilm_as(options: &LoadOptions) -> EmbeddingModel {
    match load_model("all-minilm-l6-v2", options) {
        LoadedModel::Embedding(model) => model,
        _ => panic!("a model of the wrong kind"),
    }
}
