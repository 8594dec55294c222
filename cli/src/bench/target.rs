//! What is measured: a model, what it does with texts, and how long they may be.

use chandler_sim::traffic::Dice;
use chandler_sim::traffic::trace::Request;
use serde_json::Value;

use super::args::BenchArgs;
use super::client::{Answer, Client, Question, Task};
use super::fault::Fault;
use super::words::{Words, text};
use crate::openai::{ServerError, choose, name};

/// Words of the two texts from which the tokens of a word are learned.
const LEARNED: (u32, u32) = (4, 36);
/// A bound on a prompt's length is found to within this share of it.
const NEAR: f64 = 1.0 / 16.0;

/// A model behind an address.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) client: Client,
    pub(super) model: String,
    pub(super) task: Task,
    words: Words,
    /// Most tokens of a request, prompt and answer together, as the server tells or was found.
    pub(super) longest: Option<u32>,
}

impl Target {
    /// Finds the model, and learns how it counts.
    ///
    /// # Errors
    /// It is not served, or not to be asked.
    pub(super) async fn find(args: &BenchArgs) -> Result<Self, Fault> {
        let client = Client::new(&args.url, args.api_key.clone())?;
        let card = choose(&client.models().await?, args.model.as_deref())?;
        let model = name(&card);
        let task = task(&client, &model, &card).await?;
        let mut target = Self {
            client,
            model,
            task,
            words: Words::learn((0, 0), (1, 1)),
            longest: card["max_model_len"]
                .as_u64()
                .and_then(|most| u32::try_from(most).ok()),
        };
        let mut dice = Dice::new(args.seed);
        let mut counted = async |words| {
            let question = target.question(vec![text(words, &mut dice)], 1);
            let answer = target.client.ask(&question).await?;
            Ok::<_, Fault>((words, answer.prompt_tokens))
        };
        let (few, many) = (counted(LEARNED.0).await?, counted(LEARNED.1).await?);
        target.words = Words::learn(few, many);
        Ok(target)
    }

    fn question(&self, texts: Vec<String>, generated: u32) -> Question {
        Question {
            model: self.model.clone(),
            task: self.task,
            texts,
            generated,
        }
    }

    /// A question with one text or several of so many tokens each.
    pub(super) fn ask_for(
        &self,
        texts: u32,
        tokens: u32,
        generated: u32,
        dice: &mut Dice,
    ) -> Question {
        let texts = (0..texts).map(|_| self.words.text(tokens, dice));
        self.question(texts.collect(), generated.max(1))
    }

    pub(super) async fn ask(&self, question: &Question) -> Result<Answer, Fault> {
        self.client.ask(question).await
    }

    /// Makes sure that a prompt of so many tokens is taken, or else finds what is.
    ///
    /// # Errors
    /// None is, or there is no answer.
    pub(super) async fn bound(&mut self, wanted: u32, seed: u64) -> Result<(), Fault> {
        if self.longest.is_some() {
            return Ok(());
        }
        let mut dice = Dice::new(seed);
        let (mut taken, mut refused) = (0, wanted);
        let mut tried = wanted;
        let mut told = String::new();
        loop {
            let question = self.ask_for(1, tried, 1, &mut dice);
            match self.ask(&question).await {
                Ok(_) if tried == wanted => return Ok(()),
                Ok(answer) => taken = answer.prompt_tokens,
                Err(Fault::Server(ServerError::Refused { told: why, .. })) => {
                    (refused, told) = (tried, why);
                }
                Err(fault) => return Err(fault),
            }
            if tried <= 8 && taken == 0 {
                return Err(Fault::TooLong {
                    tokens: tried,
                    told,
                });
            }
            if taken > 0 && f64::from(refused) * (1.0 - NEAR) <= f64::from(taken) {
                self.longest = Some(taken);
                return Ok(());
            }
            // Many models take far less than a trace has: halves find that sooner than middles.
            tried = if taken == 0 {
                tried / 2
            } else {
                taken.midpoint(refused)
            };
        }
    }

    /// A request of a trace as this model can have it.
    pub(super) fn bounded(&self, request: &Request) -> Request {
        let most = self.longest.unwrap_or(u32::MAX);
        let generated = match self.task {
            Task::Vectors => 0,
            // Half of what there is at most, so that there is a prompt.
            Task::Text => request.generated_tokens.clamp(1, (most / 2).max(1)),
        };
        // Texts have about so many tokens: a few are left.
        let room = most - generated.min(most);
        let room = room - room / 32;
        Request {
            prompt_tokens: request.prompt_tokens.clamp(1, room.max(1)),
            generated_tokens: generated,
            ..*request
        }
    }
}

/// What a replica says that it does; of one that does not say, what it answers.
async fn task(client: &Client, model: &str, card: &Value) -> Result<Task, Fault> {
    match card["task"].as_str() {
        Some("embedding") => return Ok(Task::Vectors),
        Some(_) => return Ok(Task::Text),
        None => {}
    }
    let question = Question {
        model: model.to_owned(),
        task: Task::Vectors,
        texts: vec!["hello".to_owned()],
        generated: 1,
    };
    match client.ask(&question).await {
        Ok(_) => Ok(Task::Vectors),
        Err(Fault::Server(ServerError::Refused { .. })) => Ok(Task::Text),
        Err(fault) => Err(fault),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn requests_are_cut_to_what_the_model_takes() {
        let url = "http://127.0.0.1:1".parse().expect("an address");
        let mut target = Target {
            client: Client::new(&url, None).expect("a client"),
            model: "m".to_owned(),
            task: Task::Text,
            words: Words::learn((4, 4), (36, 36)),
            longest: Some(1000),
        };
        let of = |target: &Target, prompt_tokens, generated_tokens| {
            let at = Duration::from_secs(1);
            let request = Request {
                at,
                prompt_tokens,
                generated_tokens,
            };
            let bounded = target.bounded(&request);
            assert_eq!(bounded.at, at);
            (bounded.prompt_tokens, bounded.generated_tokens)
        };
        assert_eq!(of(&target, 100, 50), (100, 50));
        assert_eq!(of(&target, 5000, 50), (921, 50));
        assert_eq!(of(&target, 5000, 5000), (485, 500));
        assert_eq!(of(&target, 0, 0), (1, 1));
        target.task = Task::Vectors;
        assert_eq!(of(&target, 5000, 50), (969, 0));
        target.longest = None;
        assert_eq!(of(&target, 5000, 50), (5000, 0));
    }
}
