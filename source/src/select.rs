//! Which files of a repository a model needs.

use crate::error::SourceError;
use crate::parse::is_safe_path;

/// File names listed in an error.
const LISTED: usize = 20;

/// Picks from the paths of a repository's files the weights and whatever small files describe
/// them: the file `chosen`; else the safetensors; else the only GGUF (all shards of it); else
/// `pytorch_model*.bin`. Exports for other runtimes never come along.
pub(crate) fn select<'a>(
    origin: &str,
    paths: &[&'a str],
    chosen: Option<&str>,
) -> Result<Vec<&'a str>, SourceError> {
    if let Some(path) = paths.iter().find(|path| !is_safe_path(path)) {
        let path = (*path).to_owned();
        return Err(SourceError::UnsafePath { path });
    }
    let weights = match chosen {
        Some(path) => chosen_weights(origin, paths, path)?,
        None => weights(origin, paths)?,
    };
    let wanted = |path: &&str| weights.contains(path) || describes(path, &weights);
    Ok(paths.iter().copied().filter(wanted).collect())
}

fn chosen_weights<'a>(
    origin: &str,
    paths: &[&'a str],
    chosen: &str,
) -> Result<Vec<&'a str>, SourceError> {
    let group: Vec<&str> = paths
        .iter()
        .copied()
        .filter(|path| group_of(path) == group_of(chosen))
        .collect();
    if group.contains(&chosen) {
        return Ok(group);
    }
    let ggufs: Vec<&str> = paths.iter().copied().filter(|path| is_gguf(path)).collect();
    Err(SourceError::FileNotFound {
        origin: origin.to_owned(),
        candidates: list(if ggufs.is_empty() { paths } else { &ggufs }),
    })
}

fn weights<'a>(origin: &str, paths: &[&'a str]) -> Result<Vec<&'a str>, SourceError> {
    let pick = |wanted: fn(&str) -> bool| -> Vec<&'a str> {
        paths.iter().copied().filter(|path| wanted(path)).collect()
    };
    let mut found = pick(|path| at_root_or_module(path) && path.ends_with(".safetensors"));
    // Repositories often hold the same weights again, in another dtype or layout.
    if found.iter().any(|path| is_model_safetensors(path)) {
        found.retain(|path| path.contains('/') || is_model_safetensors(path));
    }
    if found.iter().any(|path| !path.contains('/')) {
        return Ok(found);
    }
    let ggufs = pick(is_gguf);
    if let Some(first) = ggufs.first() {
        if ggufs.iter().all(|path| group_of(path) == group_of(first)) {
            return Ok(ggufs);
        }
        return Err(SourceError::AmbiguousFile {
            origin: origin.to_owned(),
            candidates: list(&ggufs),
        });
    }
    let bins = pick(is_pytorch_bin);
    if bins.iter().any(|path| !path.contains('/')) {
        return Ok(bins);
    }
    Err(SourceError::NoWeights {
        origin: origin.to_owned(),
    })
}

/// Configuration, tokenizer and template files, at the root or in a sentence-transformers
/// module such as `1_Pooling/`.
fn describes(path: &str, weights: &[&str]) -> bool {
    let name = file_name(path);
    let kind = |suffix: &str| name.ends_with(suffix);
    let described = kind(".json")
        || kind(".jinja")
        || kind(".model")
        || kind(".tiktoken")
        || ["vocab.txt", "merges.txt", "sentencepiece.bpe.vocab"].contains(&name);
    let other_index = kind(".index.json") && !indexes_any(name, weights);
    at_root_or_module(path) && described && !other_index && !name.starts_with('.')
}

/// Whether an index such as `model.safetensors.index.json` belongs to some of the weights.
fn indexes_any(index: &str, weights: &[&str]) -> bool {
    let Some((stem, extension)) = index
        .strip_suffix(".index.json")
        .and_then(|file| file.rsplit_once('.'))
    else {
        return false;
    };
    weights.iter().any(|path| {
        path.starts_with(stem)
            && path
                .strip_suffix(extension)
                .is_some_and(|p| p.ends_with('.'))
    })
}

fn at_root_or_module(path: &str) -> bool {
    match path.split_once('/') {
        None => true,
        Some((folder, name)) => {
            let number = folder.split('_').next().unwrap_or_default();
            let numbered = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
            numbered && folder.len() > number.len() && !name.contains('/')
        }
    }
}

fn is_model_safetensors(path: &str) -> bool {
    path.strip_suffix(".safetensors")
        .is_some_and(|stem| stem == "model" || shard_stem(stem) == Some("model"))
}

pub(crate) fn is_gguf(path: &str) -> bool {
    // A projector for images accompanies a model and is none.
    path.ends_with(".gguf") && !file_name(path).starts_with("mmproj")
}

/// Whether a path names a file of weights.
pub(crate) fn is_weights(path: &str) -> bool {
    [".gguf", ".safetensors", ".bin"]
        .iter()
        .any(|end| path.ends_with(end))
}

fn is_pytorch_bin(path: &str) -> bool {
    at_root_or_module(path)
        && file_name(path).starts_with("pytorch_model")
        && path.ends_with(".bin")
}

/// What the shards of one file have in common: the path without `-00001-of-00003`.
fn group_of(path: &str) -> (&str, &str) {
    match path.rsplit_once('.') {
        Some((stem, extension)) => (shard_stem(stem).unwrap_or(stem), extension),
        None => (path, ""),
    }
}

/// The name without the `-00001-of-00003` of one shard of several.
pub(crate) fn shard_stem(stem: &str) -> Option<&str> {
    let (rest, count) = stem.rsplit_once("-of-")?;
    let (rest, number) = rest.rsplit_once('-')?;
    let is_number = |text: &str| text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit());
    (is_number(count) && is_number(number)).then_some(rest)
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn list(paths: &[&str]) -> String {
    let shown = paths.get(..LISTED).unwrap_or(paths).join(", ");
    match paths.len().saturating_sub(LISTED) {
        0 if paths.is_empty() => "it holds no files".to_owned(),
        0 => format!("it holds {shown}"),
        more => format!("it holds {shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn pick<'a>(paths: &[&'a str], chosen: Option<&str>) -> Result<Vec<&'a str>, SourceError> {
        select("hf://o/n", paths, chosen)
    }

    #[track_caller]
    fn picks(paths: &[&str], chosen: Option<&str>, expected: &[&str]) {
        assert_eq!(pick(paths, chosen).unwrap(), expected);
    }

    #[test]
    fn an_embedding_model_without_the_exports_for_other_runtimes() {
        let wanted = [
            "1_Pooling/config.json",
            "2_Dense/config.json",
            "2_Dense/model.safetensors",
            "config.json",
            "merges.txt",
            "model.safetensors",
            "modules.json",
            "tokenizer.json",
            "tokenizer.model",
            "vocab.txt",
        ];
        let mut all = wanted.to_vec();
        all.extend([
            ".gitattributes",
            "README.md",
            "2_Dense/pytorch_model.bin",
            "flax_model.msgpack",
            "onnx/config.json",
            "onnx/model.onnx",
            "openvino/model.bin",
            "pytorch_model.bin",
            "pytorch_model.bin.index.json",
            "rust_model.ot",
            "tf_model.h5",
            "train_script.py",
            "variant.fp16.safetensors",
        ]);
        picks(&all, None, &wanted);
    }

    #[test]
    fn sharded_safetensors_come_with_their_index_and_without_the_copy() {
        let wanted = [
            "chat_template.jinja",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "model.safetensors.index.json",
        ];
        let mut all = wanted.to_vec();
        all.extend(["consolidated.safetensors", "q/model.gguf"]);
        picks(&all, None, &wanted);
    }

    #[test]
    fn a_chat_model_with_its_template_and_what_ends_its_answers() {
        let wanted = [
            "chat_template.jinja",
            "config.json",
            "generation_config.json",
            "merges.txt",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
            "vocab.json",
        ];
        let mut all = wanted.to_vec();
        all.extend([
            "README.md",
            "onnx/model.onnx",
            "original/consolidated.00.pth",
            "pytorch_model.bin",
        ]);
        picks(&all, None, &wanted);
    }

    #[test]
    fn the_only_gguf_or_its_shards() {
        let all = ["config.json", "m.gguf", "mmproj-m.gguf"];
        picks(&all, None, &["config.json", "m.gguf"]);
        let all = ["q/m-00001-of-00002.gguf", "q/m-00002-of-00002.gguf"];
        picks(&all, None, &all);
        picks(&all, Some(all[0]), &all);
    }

    #[test]
    fn several_ggufs_need_a_choice() {
        let all = ["a.Q4.gguf", "a.Q8.gguf", "config.json", "x/config.json"];
        let error = pick(&all, None).unwrap_err();
        assert_eq!(error.reason(), "AmbiguousFile");
        let message = error.to_string();
        assert!(message.contains("hf://o/n/<file>"), "{message}");
        assert!(message.contains("a.Q4.gguf, a.Q8.gguf"), "{message}");
        picks(&all, Some("a.Q8.gguf"), &["a.Q8.gguf", "config.json"]);
        let error = pick(&all, Some("a.Q5.gguf")).unwrap_err();
        assert_eq!(error.reason(), "FileNotFound");
        assert!(error.to_string().contains("a.Q8.gguf"));
    }

    #[test]
    fn pickles_only_where_there_is_nothing_else() {
        let all = ["config.json", "model.onnx", "pytorch_model.bin"];
        picks(&all, None, &["config.json", "pytorch_model.bin"]);
        let error = pick(&["config.json", "model.onnx"], None).unwrap_err();
        assert_eq!(error.reason(), "NoWeights");
    }

    #[test]
    fn a_path_that_leads_out_is_refused() {
        for path in [
            "../x.json",
            "/etc/x.json",
            "a/../../x.json",
            "a\\x",
            "",
            "a//b",
        ] {
            let error = pick(&["model.safetensors", path], None).unwrap_err();
            assert_eq!(error.reason(), "UnsafePath", "{path}");
        }
    }
}
