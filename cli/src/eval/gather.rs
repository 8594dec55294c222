//! From questions to evidence: what a metric is computed from is asked of both revisions.

use std::collections::HashMap;

use chandler_evaluation::evidence::EvidenceError;
use chandler_evaluation::metrics::{Embedded, Needs, Position, properties};
use chandler_evaluation::suite::Item;
use chandler_evaluation::{Evidence, Suite};

use super::args::EvalArgs;
use super::ask::{Manner, ask_all};
use super::fault::{Fault, Role};
use super::question::{FirstToken, Wanted, first_token, text};
use super::references::logprobs;
use super::server::Server;
use super::vectors::{Text, embed};

/// Who is asked.
#[derive(Debug)]
pub(super) struct Servers {
    stable: Option<Server>,
    canary: Server,
    embeddings: Option<Server>,
}

/// What there is to judge.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) stable: Option<Given>,
    pub(super) canary: Given,
}

/// What one revision gave.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) evidence: Evidence,
    /// In the suite's order; none where nothing was to be answered.
    pub(super) answers: Vec<String>,
}

impl Servers {
    /// Those that the arguments name.
    ///
    /// # Errors
    /// One of them does not tell which model is meant.
    pub(super) async fn find(args: &EvalArgs) -> Result<Self, Fault> {
        let given = &args.servers;
        let key = given.api_key.as_ref();
        let find = |role, url, model| Server::find(role, url, model, key, args.timeout);
        let canary = find(Role::Canary, &given.canary, given.canary_model()).await?;
        let stable = match &given.stable {
            Some(url) => Some(find(Role::Stable, url, given.stable_model()).await?),
            None => None,
        };
        let model = given.embeddings_model.as_deref();
        let embeddings = match &given.embeddings {
            Some(url) => Some(find(Role::Embeddings, url, model).await?),
            None => None,
        };
        Ok(Self {
            stable,
            canary,
            embeddings,
        })
    }

    /// Asks what the suite's metric needs. Answers to the same questions that are `known` are not asked for again.
    ///
    /// # Errors
    /// Something of it was not answered: no part of a suite is judged.
    pub(super) async fn gather(
        &self,
        args: &EvalArgs,
        suite: &Suite,
        known: &mut Option<Answers>,
    ) -> Result<Gathered, Fault> {
        match properties(suite.metric()).needs {
            Needs::Answers => {
                let answers = self.known_answers(args, suite.items(), known).await?;
                answers.given(|answers| Evidence::of_answers(suite, answers))
            }
            Needs::Embeddings => {
                let server = self.embeddings.as_ref().ok_or(Fault::NoEmbeddings)?;
                let answers = self.known_answers(args, suite.items(), known).await?;
                let texts = texts(suite.items(), &answers);
                let vectors = embed(server, texts, usize::from(args.parallel)).await?;
                answers.given(|answers| of_vectors(suite, answers, &vectors))
            }
            Needs::NextTokens => {
                let stable = self.stable.as_ref().ok_or(Fault::NoStable)?;
                self.first_tokens(args, suite, stable).await
            }
            Needs::ReferenceLogprobs => self.reference_logprobs(args, suite).await,
        }
    }

    /// The answers that are known, which are kept from now on.
    async fn known_answers(
        &self,
        args: &EvalArgs,
        items: &[Item],
        known: &mut Option<Answers>,
    ) -> Result<Answers, Fault> {
        let answers = match known.take() {
            Some(answers) => answers,
            None => self.answers(args, items).await?,
        };
        Ok(known.insert(answers).clone())
    }

    async fn answers(&self, args: &EvalArgs, items: &[Item]) -> Result<Answers, Fault> {
        let max_tokens = args.max_tokens;
        let manner = manner(args, Wanted::Text { max_tokens });
        let of = |server| {
            ask_all(server, items, manner, |item, answer| {
                text(&item.prompt, answer)
            })
        };
        let (stable, canary) = match &self.stable {
            Some(stable) => {
                let (stable, canary) = tokio::try_join!(of(stable), of(&self.canary))?;
                (Some(stable), canary)
            }
            None => (None, of(&self.canary).await?),
        };
        Ok(Answers { stable, canary })
    }

    async fn reference_logprobs(&self, args: &EvalArgs, suite: &Suite) -> Result<Gathered, Fault> {
        let of = async |server| {
            let told = logprobs(server, suite.items(), usize::from(args.parallel)).await?;
            let evidence = Evidence::of_reference_logprobs(suite, &told)?;
            Ok::<_, Fault>(Given {
                evidence,
                answers: Vec::new(),
            })
        };
        let (stable, canary) = match &self.stable {
            Some(stable) => {
                let (stable, canary) = tokio::try_join!(of(stable), of(&self.canary))?;
                (Some(stable), canary)
            }
            None => (None, of(&self.canary).await?),
        };
        Ok(Gathered { stable, canary })
    }

    async fn first_tokens(
        &self,
        args: &EvalArgs,
        suite: &Suite,
        stable: &Server,
    ) -> Result<Gathered, Fault> {
        let manner = manner(args, Wanted::FirstToken);
        let of = |server| {
            ask_all(server, suite.items(), manner, |_, answer| {
                first_token(answer)
            })
        };
        let (stable, canary) = tokio::try_join!(of(stable), of(&self.canary))?;
        let pairs = stable.iter().zip(&canary);
        let positions: Vec<_> = pairs
            .map(|(stable, canary)| {
                vec![Position {
                    stable: stable.likeliest.clone(),
                    canary: canary.likeliest.clone(),
                }]
            })
            .collect();
        let (of_stable, of_canary) = Evidence::of_next_tokens(suite, &positions)?;
        let given = |evidence, tokens: Vec<FirstToken>| Given {
            evidence,
            answers: tokens.into_iter().map(|token| token.text).collect(),
        };
        Ok(Gathered {
            stable: Some(given(of_stable, stable)),
            canary: given(of_canary, canary),
        })
    }
}

fn manner(args: &EvalArgs, wanted: Wanted) -> Manner {
    Manner {
        wanted,
        seed: args.seed,
        parallel: usize::from(args.parallel),
    }
}

/// The texts that were answered, in the suite's order.
#[derive(Clone, Debug)]
pub(super) struct Answers {
    stable: Option<Vec<String>>,
    canary: Vec<String>,
}

impl Answers {
    fn given(
        self,
        evidence: impl Fn(&[String]) -> Result<Evidence, EvidenceError>,
    ) -> Result<Gathered, Fault> {
        let given = |answers: Vec<String>| {
            let evidence = evidence(&answers)?;
            Ok::<_, Fault>(Given { evidence, answers })
        };
        Ok(Gathered {
            stable: self.stable.map(given).transpose()?,
            canary: given(self.canary)?,
        })
    }
}

/// All texts that need a vector. An empty answer needs none, and most servers refuse to make one.
fn texts<'a>(items: &'a [Item], answers: &'a Answers) -> impl Iterator<Item = Text<'a>> {
    let references = items.iter().flat_map(|item| {
        let texts = item.references.iter();
        texts.map(move |text| (item, text))
    });
    let sides = answers.stable.iter().chain([&answers.canary]);
    let answers = sides.flat_map(|answers| items.iter().zip(answers));
    let texts = references.chain(answers).map(|(item, text)| Text {
        text: text.as_str(),
        item: item.id.as_str(),
    });
    texts.filter(|text| !is_empty(text.text))
}

fn is_empty(text: &str) -> bool {
    text.trim().is_empty()
}

fn of_vectors(
    suite: &Suite,
    answers: &[String],
    vectors: &HashMap<String, Vec<f32>>,
) -> Result<Evidence, EvidenceError> {
    let pairs = suite.items().iter().zip(answers);
    let embedded = pairs.map(|(item, answer)| {
        let references = item.references.iter();
        let references = references.filter_map(|text| vectors.get(text).cloned());
        let references: Vec<_> = references.collect();
        // An empty answer is similar to nothing, as a vector of zeros is.
        let length = references.first().map_or(0, Vec::len);
        let answer = vectors.get(answer).cloned();
        Embedded {
            answer: answer.unwrap_or_else(|| vec![0.0; length]),
            references,
        }
    });
    Evidence::of_embeddings(suite, &embedded.collect::<Vec<_>>())
}
