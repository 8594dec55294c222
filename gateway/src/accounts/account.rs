//! An account as a Secret tells it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};
use std::str::FromStr;

use chandler_core::traffic::limit::Limits;
use chandler_crds::names::{api_key, labels};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::key::KeyHash;

/// Stands for every model.
const ALL: &str = "*";
/// Heaviest weight.
pub const MAX_WEIGHT: u32 = 100;
/// Every key of data that means something.
const FIELDS: [&str; 7] = [
    api_key::HASH,
    api_key::MODELS,
    api_key::REQUESTS,
    api_key::TOKENS,
    api_key::CONCURRENT,
    api_key::WEIGHT,
    api_key::CREATED,
];

/// Who holds an API key, and what that allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The Secret's name.
    pub name: String,
    /// Of the one key.
    pub hash: KeyHash,
    /// What it may use.
    pub models: Models,
    /// How much of it.
    pub limits: Limits,
    /// Its share of a saturated model relative to others', 1 to 100.
    pub weight: u32,
    /// When the key was made, RFC 3339, as far as told.
    pub created: Option<String>,
}

/// Models by their names as callers use them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Models {
    /// All there are and will be.
    All,
    /// These.
    Only(BTreeSet<String>),
}

/// What is wrong with a Secret. No value of it is told: someone may have put a key there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountFault {
    /// It has no name.
    #[error("it has no metadata.name, which is the account's; write one")]
    Unnamed,
    /// A key of data is absent.
    #[error("it has no `{0}`; make it with `chandler keys create`")]
    Missing(&'static str),
    /// A value is not UTF-8.
    #[error("`{0}` is no text; `data` holds base64 of text, `stringData` the text itself")]
    NotText(String),
    /// The hash is none.
    #[error("`hash` must be the SHA-256 of the key as 64 hexadecimal digits, never the key itself")]
    Hash,
    /// No model, or an empty name.
    #[error(
        "`models` must be names of models by commas, such as `chat,embeddings`, or `*` for all"
    )]
    Models,
    /// A number is none, or out of bounds.
    #[error("`{field}` must be a whole number from 1 to {most}, or left out")]
    Number {
        /// Key of data.
        field: &'static str,
        /// The greatest allowed.
        most: u32,
    },
    /// A key of data that means nothing, by which a limit may be meant.
    #[error("`{0}` means nothing here; write one of {known}", known = FIELDS.join(", "))]
    Unknown(String),
}

impl AccountFault {
    /// A stable CamelCase word for logs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unnamed => "NoName",
            Self::Missing(_) => "MissingField",
            Self::NotText(_) => "NotText",
            Self::Hash => "InvalidHash",
            Self::Models => "InvalidModels",
            Self::Number { .. } => "InvalidNumber",
            Self::Unknown(_) => "UnknownField",
        }
    }
}

impl Account {
    /// Reads the account of a Secret; its labels are not looked at.
    ///
    /// # Errors
    /// [`AccountFault`], the first.
    pub fn from_secret(secret: &Secret) -> Result<Self, AccountFault> {
        let name = secret.metadata.name.clone().ok_or(AccountFault::Unnamed)?;
        let fields = fields(secret)?;
        if let Some(unknown) = fields.keys().find(|key| !FIELDS.contains(key)) {
            return Err(AccountFault::Unknown((*unknown).to_owned()));
        }
        let text = |field: &'static str| fields.get(field).copied();
        let needed = |field: &'static str| text(field).ok_or(AccountFault::Missing(field));
        let number = |field: &'static str, most: u32| match text(field) {
            None => Ok(None),
            Some(text) => whole(text, most)
                .map(Some)
                .ok_or(AccountFault::Number { field, most }),
        };
        Ok(Self {
            name,
            hash: KeyHash::from_hex(needed(api_key::HASH)?).ok_or(AccountFault::Hash)?,
            models: needed(api_key::MODELS)?.parse()?,
            limits: Limits {
                requests_per_minute: number(api_key::REQUESTS, u32::MAX)?,
                tokens_per_minute: number(api_key::TOKENS, u32::MAX)?,
                max_concurrent: number(api_key::CONCURRENT, u32::MAX)?,
            },
            weight: number(api_key::WEIGHT, MAX_WEIGHT)?.unwrap_or(1),
            created: text(api_key::CREATED).map(str::to_owned),
        })
    }

    /// The Secret that tells this account.
    pub fn to_secret(&self, namespace: Option<&str>) -> Secret {
        let number = |number: Option<u32>| number.map(|number| number.to_string());
        let fields = [
            (api_key::HASH, Some(self.hash.to_string())),
            (api_key::MODELS, Some(self.models.to_string())),
            (api_key::REQUESTS, number(self.limits.requests_per_minute)),
            (api_key::TOKENS, number(self.limits.tokens_per_minute)),
            (api_key::CONCURRENT, number(self.limits.max_concurrent)),
            (api_key::WEIGHT, Some(self.weight.to_string())),
            (api_key::CREATED, self.created.clone()),
        ];
        let told = fields.into_iter().filter_map(|(field, text)| {
            let text = ByteString(text?.into_bytes());
            Some((field.to_owned(), text))
        });
        let label = (labels::API_KEY.to_owned(), api_key::LABELLED.to_owned());
        Secret {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                namespace: namespace.map(str::to_owned),
                labels: Some(BTreeMap::from([label])),
                ..ObjectMeta::default()
            },
            data: Some(told.collect()),
            type_: Some("Opaque".to_owned()),
            ..Secret::default()
        }
    }
}

/// `stringData` goes before `data`, as an API server has it.
fn fields(secret: &Secret) -> Result<BTreeMap<&str, &str>, AccountFault> {
    let mut fields = BTreeMap::new();
    for (field, value) in secret.data.iter().flatten() {
        let text = std::str::from_utf8(&value.0);
        let text = text.map_err(|_| AccountFault::NotText(field.clone()))?;
        fields.insert(field.as_str(), text.trim());
    }
    let plain = secret.string_data.iter().flatten();
    fields.extend(plain.map(|(field, text)| (field.as_str(), text.trim())));
    Ok(fields)
}

fn whole(text: &str, most: u32) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| text.parse().ok()).flatten()?;
    (1..=most).contains(&number).then_some(number)
}

impl Models {
    /// Whether `name` is one of them.
    pub fn allows(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(name),
        }
    }
}

impl FromStr for Models {
    type Err = AccountFault;

    fn from_str(text: &str) -> Result<Self, AccountFault> {
        let names: BTreeSet<String> = text.split(',').map(|it| it.trim().to_owned()).collect();
        if names.contains("") || (names.contains(ALL) && names.len() > 1) {
            return Err(AccountFault::Models);
        }
        Ok(match names.contains(ALL) {
            true => Self::All,
            false => Self::Only(names),
        })
    }
}

impl Display for Models {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => formatter.write_str(ALL),
            Self::Only(names) => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                formatter.write_str(&names.join(","))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn account() -> Account {
        Account {
            name: "team".into(),
            hash: KeyHash::of("sk-chandler-x"),
            models: "chat,team/embed".parse().unwrap(),
            limits: Limits {
                requests_per_minute: Some(60),
                tokens_per_minute: Some(u32::MAX),
                max_concurrent: None,
            },
            weight: 3,
            created: Some("2026-01-01T00:00:00Z".into()),
        }
    }

    /// A Secret of stringData.
    fn plain(fields: &[(&str, &str)]) -> Secret {
        let fields = fields.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        Secret {
            metadata: ObjectMeta {
                name: Some("a".into()),
                ..ObjectMeta::default()
            },
            string_data: Some(fields.collect()),
            ..Secret::default()
        }
    }

    #[test]
    fn an_account_is_read_as_it_was_written() {
        let secret = account().to_secret(Some("ns"));
        assert_eq!(Account::from_secret(&secret), Ok(account()));
        let text = serde_json::to_string(&secret).unwrap();
        let read: Secret = serde_json::from_str(&text).unwrap();
        assert_eq!(Account::from_secret(&read), Ok(account()));
        assert!(!text.contains("sk-chandler"));
        assert_eq!(read.metadata.labels.unwrap()[labels::API_KEY], "true");
    }

    #[test]
    fn what_is_not_told_does_not_bound() {
        let hash = KeyHash::of("k").to_string();
        let read = Account::from_secret(&plain(&[("hash", &hash), ("models", " * ")])).unwrap();
        assert_eq!(read.models, Models::All);
        assert_eq!((read.limits, read.weight), (Limits::default(), 1));
        assert!(read.models.allows("whatever"));
        let only = account().models;
        assert!(only.allows("team/embed") && !only.allows("embed") && !only.allows("*"));
    }

    #[test]
    fn faults_say_what_to_write_and_never_a_value() {
        let hash = KeyHash::of("k").to_string();
        let good = [("hash", hash.as_str()), ("models", "*")];
        let with = |field, value| plain(&[good[0], good[1], (field, value)]);
        let number = |field, most| AccountFault::Number { field, most };
        #[rustfmt::skip]
        let cases = [
            (plain(&good[1..]), AccountFault::Missing("hash")),
            (plain(&good[..1]), AccountFault::Missing("models")),
            (with("hash", "sk-chandler-oops"), AccountFault::Hash),
            (with("models", ""), AccountFault::Models),
            (with("models", "chat,,"), AccountFault::Models),
            (with("models", "chat,*"), AccountFault::Models),
            (with("requestsPerMinute", "0"), number("requestsPerMinute", u32::MAX)),
            (with("tokensPerMinute", "sk-chandler-oops"), number("tokensPerMinute", u32::MAX)),
            (with("tokensPerMinute", "4294967296"), number("tokensPerMinute", u32::MAX)),
            (with("maxConcurrent", "+1"), number("maxConcurrent", u32::MAX)),
            (with("weight", "101"), number("weight", 100)),
            (with("tokenPerMinute", "5"), AccountFault::Unknown("tokenPerMinute".into())),
        ];
        for (secret, wanted) in cases {
            let fault = Account::from_secret(&secret).unwrap_err();
            assert_eq!(fault, wanted);
            assert!(!fault.to_string().contains("oops"), "{fault}");
        }
        let mut bytes = plain(&good);
        bytes.data = Some(BTreeMap::from([("weight".into(), ByteString(vec![0xff]))]));
        assert_eq!(
            Account::from_secret(&bytes).unwrap_err().reason(),
            "NotText"
        );
        bytes.metadata.name = None;
        assert_eq!(Account::from_secret(&bytes), Err(AccountFault::Unnamed));
    }
}
