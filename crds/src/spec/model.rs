use std::{fmt, str::FromStr};

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which model, from where, and under which name it is served.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Model {
    /// Where the model's files are: `hf://org/name`, `hf://org/name/file.gguf`, `file:///path`,
    /// `https://…`, `s3://bucket/prefix`, `gs://bucket/prefix`, `oci://registry/name:tag` or
    /// `pvc://claim/path`.
    #[x_kube(validation = Rule::new("self.matches('^(hf|s3|gs|https|oci|pvc|file)://.+$')").message(
        "source must be a URI: write hf://org/name, file:///path, https://…, s3://…, gs://…, oci://… or pvc://claim/path"
    ))]
    pub source: String,

    /// Branch, tag or commit of the source, or `sha256:<hex>` to pin the content. Resolved once for
    /// each revision, and the digest of every file is locked in status. Default: `main`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("size(self) > 0 && size(self) <= 255").message(
        "revision must be 1 to 255 characters: write a branch, tag, commit or sha256:<hex>, or leave it out for main"
    ))]
    pub revision: Option<String>,

    /// What the model does. `auto` reads it from the model's own configuration. Default: `auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,

    /// The name that callers give as `model`. Default: the name of this resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$')").message(
        "servedName must be 1 to 128 letters, digits or any of . _ : / - and begin with a letter or digit"
    ))]
    pub served_name: Option<String>,

    /// Number format of the weights in memory. `auto` keeps the file's own. Default: `auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtype: Option<Dtype>,

    /// Longest sequence in tokens, prompt and answer together. Default: the model's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1").message("maxModelLen must be at least 1 token"))]
    pub max_model_len: Option<i32>,

    /// Secret with the credentials of the source, mounted into the replicas alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<SecretReference>,

    /// Where replicas keep the downloaded files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<ModelCache>,
}

/// What a model does, and so which endpoints answer for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Task {
    /// Read it from the model's own configuration.
    #[default]
    Auto,
    /// Chat completions.
    Chat,
    /// Text completions.
    Completion,
    /// Vectors of texts.
    Embedding,
    /// A class for a text.
    Classification,
    /// A tag for each token.
    TokenClassification,
    /// A span of a text that answers a question.
    QuestionAnswering,
    /// Scores of documents for a query.
    Rerank,
    /// Text in another language.
    Translation,
    /// A shorter text.
    Summarization,
    /// Text of speech.
    SpeechToText,
    /// An image of a text.
    TextToImage,
}

/// Number format of weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Dtype {
    /// The file's own.
    #[default]
    Auto,
    /// 32-bit float.
    F32,
    /// 16-bit float.
    F16,
    /// 16-bit brain float.
    Bf16,
}

/// A Secret of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretReference {
    /// Name of the Secret.
    pub name: String,
}

/// Where downloaded files are kept.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.kind != 'persistentVolumeClaim' || has(self.claimName)").message(
    "cache.kind persistentVolumeClaim needs cache.claimName: write the claim's name"
))]
pub struct ModelCache {
    /// Kind of storage.
    pub kind: CacheKind,
    /// The claim, for `persistentVolumeClaim`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim_name: Option<String>,
}

/// Kind of storage of a cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CacheKind {
    /// Gone with the replica.
    #[default]
    EmptyDir,
    /// Shared by the replicas of one node.
    Node,
    /// A claim of the same namespace.
    PersistentVolumeClaim,
}

/// Gives an enum's wire form to argument vectors and messages, and reads it back.
macro_rules! wire_text {
    ($name:ident: $($variant:ident = $text:literal),+ $(,)?) => {
        impl $name {
            /// The form on the wire.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    other => Err(format!("`{other}` is not one of {}", [$($text),+].join(", "))),
                }
            }
        }
    };
}
pub(super) use wire_text;

wire_text!(Task:
    Auto = "auto", Chat = "chat", Completion = "completion", Embedding = "embedding",
    Classification = "classification", TokenClassification = "tokenClassification",
    QuestionAnswering = "questionAnswering", Rerank = "rerank", Translation = "translation",
    Summarization = "summarization", SpeechToText = "speechToText", TextToImage = "textToImage",
);
wire_text!(Dtype: Auto = "auto", F32 = "f32", F16 = "f16", Bf16 = "bf16");
