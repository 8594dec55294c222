//! Follows a script and tells what happened.

use chandler_core::validate::validate;
use chandler_crds::ModelDeployment;
use serde_json::{Map, Value, json};

use super::parse::{Command, Line, Named, Told, parse};
use super::print::Printer;
use super::{Problem, ScriptError};
use crate::simulation::{Entry, Event, model};
use crate::traffic::Manner;
use crate::{SimWorld, Simulation};

/// What a script came to.
#[derive(Clone, Debug)]
pub struct Played {
    /// All that happened, as text.
    pub text: String,
    /// What happened and must never, whatever the script does.
    pub harms: Vec<String>,
}

/// Plays a script. `file` is named in errors.
///
/// # Errors
/// The first line that can't be followed.
pub fn play(file: &str, text: &str) -> Result<Played, ScriptError> {
    let mut player = Player::default();
    for line in parse(file, text)? {
        player.follow(&line).map_err(|problem| ScriptError {
            file: file.to_owned(),
            line: line.number,
            problem,
        })?;
    }
    Ok(Played {
        text: player.printer.finish(),
        harms: player.harms,
    })
}

#[derive(Default)]
struct Player {
    simulation: Simulation,
    /// The spec as it was applied last.
    spec: Option<Value>,
    printer: Printer,
    harms: Vec<String>,
}

impl Player {
    fn follow(&mut self, line: &Line) -> Result<(), Problem> {
        self.printer.command(&line.text);
        let done = self.act(&line.command);
        for entry in self.simulation.take_journal() {
            self.tell(entry);
        }
        done?;
        if line.command == Command::Status {
            self.printer.status(&self.simulation);
        }
        Ok(())
    }

    fn tell(&mut self, entry: Entry) {
        match &entry.event {
            Event::Harm(harm) => self.harms.push(harm.clone()),
            Event::Gone => self.spec = None,
            _ => {}
        }
        self.printer.entry(&entry);
    }

    fn act(&mut self, command: &Command) -> Result<(), Problem> {
        let world = &mut self.simulation.world;
        match command {
            Command::Apply(spec) => self.apply(spec.clone())?,
            Command::Set(path, value) => self.set(path, value.clone())?,
            Command::Steer(field, named) => {
                let path = ["rollout", *field].map(str::to_owned);
                let revision = self.find(*named)?;
                self.set(&path, Some(revision.into()))?;
            }
            Command::Advance(length) => self.simulation.advance(*length)?,
            Command::StartDelay(length) => world.start_delay = *length,
            Command::Places(places) => world.set_places(places.clone()),
            Command::InFlight(known) => world.counts_requests = *known,
            Command::Fail(step, fault) => world.faults.set(*step, fault.clone()),
            Command::Work(step) => world.faults.clear(*step),
            Command::Die(death, down) => self.simulation.die(*death, *down),
            Command::Crash(named, count) => {
                self.befall(*named, |world, revision| {
                    world.crash(revision, *count) == *count
                })?;
            }
            Command::Drift(named) => self.befall(*named, SimWorld::drift)?,
            Command::Requests(named, count, length) => {
                self.befall(*named, |world, revision| {
                    world.request(revision, *count, *length)
                })?;
            }
            Command::Gateways(door) => {
                world.set_door(*door);
                self.simulation.settle()?;
            }
            Command::Arrive(count, length) => {
                if !world.arrive(*count, *length) {
                    return Err(Problem::NoGateway);
                }
                self.simulation.settle()?;
            }
            Command::Load(calls) => {
                world.call(*calls);
                self.simulation.settle()?;
            }
            Command::Slow(named, slowness) => {
                self.behave(*named, |manner| manner.slowness = *slowness)?;
            }
            Command::Errors(named, errors) => {
                self.behave(*named, |manner| manner.errors = *errors)?;
            }
            Command::Differs(named, differs) => {
                self.behave(*named, |manner| manner.differs = *differs)?;
            }
            Command::Answers(named, score) => {
                let revision = self.find(*named)?;
                self.simulation.world.set_answers(&revision, *score);
            }
            Command::Scrapes(told) => self.tell_load(*told)?,
            Command::Clock(by) => self.simulation.set_clock(*by),
            Command::Status => {}
            Command::Remove => {
                self.simulation.object().ok_or(Problem::NoModel)?;
                self.simulation.remove()?;
            }
        }
        Ok(())
    }

    /// Does something to a revision, unless it can't take it, and lets the operator see it.
    fn befall(
        &mut self,
        named: Named,
        deed: impl FnOnce(&mut SimWorld, &str) -> bool,
    ) -> Result<(), Problem> {
        let revision = self.find(named)?;
        if !deed(&mut self.simulation.world, &revision) {
            return Err(Problem::NotReady(named.to_string()));
        }
        Ok(self.simulation.settle()?)
    }

    /// Changes how a revision answers.
    fn behave(&mut self, named: Named, change: impl FnOnce(&mut Manner)) -> Result<(), Problem> {
        let revision = self.find(named)?;
        match self.simulation.world.behave(&revision, change) {
            true => Ok(()),
            false => Err(Problem::NoLoad),
        }
    }

    fn tell_load(&mut self, told: Told) -> Result<(), Problem> {
        match told {
            Told::All => self.simulation.world.silence_all(false),
            Told::None => self.simulation.world.silence_all(true),
            Told::AllBut(named, count) => {
                let revision = self.find(named)?;
                if self.simulation.world.silence(&revision, count) < count {
                    return Err(Problem::NotReady(named.to_string()));
                }
            }
        }
        Ok(())
    }

    /// Applies a spec as an API server would: what breaks a rule changes nothing.
    fn apply(&mut self, spec: Value) -> Result<(), Problem> {
        match model(&spec) {
            Ok(object) => {
                self.printer.meet(&revision(&object));
                self.spec = Some(spec);
                self.simulation.apply(object)?;
            }
            Err(refusals) => {
                for refusal in refusals {
                    self.printer.refused(&refusal.to_string());
                }
            }
        }
        Ok(())
    }

    fn set(&mut self, path: &[String], value: Option<Value>) -> Result<(), Problem> {
        let mut spec = self.spec.clone().ok_or(Problem::NoModel)?;
        let Some((last, parents)) = path.split_last() else {
            return Err(Problem::Path(String::new()));
        };
        let mut node = &mut spec;
        for step in parents {
            let fields = fields(node, step)?;
            node = fields.entry(step.clone()).or_insert_with(|| json!({}));
        }
        let fields = fields(node, last)?;
        match value {
            Some(value) => fields.insert(last.clone(), value),
            None => fields.remove(last),
        };
        self.apply(spec)
    }

    fn find(&self, named: Named) -> Result<String, Problem> {
        let seen = self.simulation.world.snapshot();
        let found = match named {
            Named::Current => seen.weights.iter().max_by_key(|(_, weight)| **weight),
            Named::Number(number) => self
                .printer
                .name(number)
                .and_then(|name| seen.revisions.get_key_value(name))
                .map(|(name, _)| (name, &0)),
        };
        found
            .map(|(name, _)| name.clone())
            .ok_or_else(|| Problem::NoSuchRevision(named.to_string()))
    }
}

fn fields<'a>(node: &'a mut Value, step: &str) -> Result<&'a mut Map<String, Value>, Problem> {
    node.as_object_mut()
        .ok_or_else(|| Problem::Path(step.to_owned()))
}

/// The revision an object asks for; empty if it asks for none.
fn revision(object: &ModelDeployment) -> String {
    validate(object).map_or_else(|_| String::new(), |spec| spec.revision)
}
