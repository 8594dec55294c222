//! How keys are listed.

use chandler_gateway::accounts::Account;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use serde::Serialize;

use crate::columns;

const HEAD: [&str; 7] = [
    "NAME", "MODELS", "REQUESTS", "TOKENS", "AT ONCE", "WEIGHT", "CREATED",
];
/// Stands for what has no bound, or is not told.
const NONE: &str = "-";

/// A key as it is listed. Of one that is not well, the fault is told.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    models: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requests_per_minute: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens_per_minute: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_concurrent: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
}

impl Row {
    pub(super) fn of(secret: &Secret) -> Self {
        let name = secret.name_any();
        match Account::from_secret(secret) {
            Ok(account) => Self {
                name,
                models: Some(account.models.to_string()),
                requests_per_minute: account.limits.requests_per_minute,
                tokens_per_minute: account.limits.tokens_per_minute,
                max_concurrent: account.limits.max_concurrent,
                weight: Some(account.weight),
                created: account.created,
                fault: None,
            },
            Err(fault) => Self {
                name,
                fault: Some(fault.to_string()),
                ..Self::default()
            },
        }
    }

    fn cells(&self) -> [String; 7] {
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| NONE.to_owned());
        let number =
            |number: Option<u32>| number.map_or_else(|| NONE.to_owned(), |it| it.to_string());
        [
            self.name.clone(),
            text(&self.models),
            number(self.requests_per_minute),
            number(self.tokens_per_minute),
            number(self.max_concurrent),
            number(self.weight),
            text(&self.created),
        ]
    }
}

/// One key a line below a head, in columns; a fault stands at the end of its line.
pub(super) fn text(rows: &[Row]) -> String {
    let lines = rows.iter().map(|row| {
        let fault = row.fault.as_ref();
        let fault = fault.map(|fault| format!("does not work: {fault}"));
        row.cells().into_iter().chain(fault).collect()
    });
    let head = HEAD.map(str::to_owned).to_vec();
    let lines: Vec<Vec<String>> = [head].into_iter().chain(lines).collect();
    columns::text(&lines)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chandler_core::traffic::limit::Limits;
    use chandler_gateway::accounts::KeyHash;

    use super::*;

    fn secrets() -> [Secret; 2] {
        let account = Account {
            name: "team-a".into(),
            hash: KeyHash::of("sk-chandler-x"),
            models: "chat,embed".parse().expect("names"),
            limits: Limits {
                tokens_per_minute: Some(60_000),
                ..Limits::default()
            },
            weight: 3,
            created: Some("2026-01-01T00:00:00Z".into()),
        };
        let mut broken = account.to_secret(None);
        broken.metadata.name = Some("b".into());
        broken.string_data = Some(BTreeMap::from([("weight".into(), "0".into())]));
        [account.to_secret(None), broken]
    }

    #[test]
    fn keys_are_listed_in_columns_and_faults_told() {
        let rows = secrets().each_ref().map(Row::of);
        let wanted = "\
NAME    MODELS      REQUESTS  TOKENS  AT ONCE  WEIGHT  CREATED
team-a  chat,embed  -         60000   -        3       2026-01-01T00:00:00Z
b       -           -         -       -        -       -                     \
does not work: `weight` must be a whole number from 1 to 100, or left out
";
        assert_eq!(text(&rows), wanted);
        let json = serde_json::to_value(&rows).expect("JSON");
        assert_eq!(json[0]["tokensPerMinute"], 60_000);
        assert!(json[0].get("maxConcurrent").is_none() && json[0].get("hash").is_none());
        assert!(json[1]["fault"].is_string());
    }
}
