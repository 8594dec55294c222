//! Which of the models that a server has is meant.

use serde_json::Value;

use super::ServerError;

/// The name by which callers ask for a model.
pub(crate) fn name(card: &Value) -> String {
    card["id"].as_str().unwrap_or_default().to_owned()
}

/// The model of this name, or the only one that is served.
///
/// # Errors
/// There is none of the name, or a name is needed.
pub(crate) fn choose(cards: &[Value], asked: Option<&str>) -> Result<Value, ServerError> {
    let known = || cards.iter().map(name).collect();
    match (asked, cards) {
        (None, [card]) => Ok(card.clone()),
        (None, _) => Err(ServerError::SeveralModels { known: known() }),
        (Some(asked), _) => {
            let card = cards.iter().find(|card| name(card) == asked);
            card.cloned().ok_or_else(|| ServerError::UnknownModel {
                asked: asked.to_owned(),
                known: known(),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_model_is_chosen_by_name_or_for_being_the_only_one() {
        let cards = [json!({"id": "a"}), json!({"id": "b"})];
        let chosen = |cards: &[Value], asked| {
            let card = choose(cards, asked);
            card.map(|card| name(&card))
                .map_err(|error| error.to_string())
        };
        assert_eq!(chosen(&cards[..1], None), Ok("a".to_owned()));
        assert_eq!(chosen(&cards, Some("b")), Ok("b".to_owned()));
        let several = chosen(&cards, None).expect_err("two");
        assert!(
            several.ends_with("choose one by --model: a, b"),
            "{several}"
        );
        let unknown = chosen(&cards, Some("c")).expect_err("unknown");
        assert!(
            unknown.contains("`c` is not served; these are: a, b"),
            "{unknown}"
        );
    }
}
