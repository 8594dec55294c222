//! Keeps one object of every phase of a `ModelDeployment`'s life in `recorded/`, as the operator
//! leaves it. kstatus and Argo CD's health script are judged by these objects, so none of them is
//! written by hand. `CHANDLER_BLESS=1` writes what came out.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chandler_core::world::Failure;
use chandler_sim::Simulation;
use chandler_sim::fault::{Fault, Step};
use chandler_sim::gateways::Door;
use chandler_sim::simulation::model;
use serde_json::{Value, json};

const BLESS: &str = "CHANDLER_BLESS";
/// What each phase must count as; written by hand, since it is a judgement.
const EXPECTED: &str = "expected.tsv";

type Outcome = Result<(), Box<dyn Error>>;

/// A model under its phase's name, and its simulation.
struct Story {
    name: &'static str,
    simulation: Simulation,
}

/// A phase and the story that leads to it.
type Phase = (&'static str, fn(&mut Story) -> Outcome);

const PHASES: [Phase; 17] = [
    ("edited", edited),
    ("resolve-retried", resolve_retried),
    ("resolve-refused", resolve_refused),
    ("starting", starting),
    ("unschedulable", unschedulable),
    ("probe-unanswered", probe_unanswered),
    ("first-answer", first_answer),
    ("serving", serving),
    ("rolling-out", rolling_out),
    ("stalled-bad-model", stalled_bad_model),
    ("stalled-deadline", stalled_deadline),
    ("paused", paused),
    ("paused-edit", paused_edit),
    ("scaled-to-zero", scaled_to_zero),
    ("never-started", never_started),
    ("asleep", asleep),
    ("invalid-spec", invalid_spec),
];

#[test]
fn recorded_objects_are_what_the_operator_leaves() -> Outcome {
    for (name, story) in PHASES {
        let simulation = Simulation::default();
        let mut played = Story { name, simulation };
        story(&mut played).map_err(|error| format!("{name}: {error}"))?;
        let object = played.simulation.object().ok_or("the object is gone")?;
        let path = folder().join(format!("{name}.yaml"));
        compare(&path, &serde_yaml::to_string(object)?)?;
    }
    Ok(())
}

#[test]
fn every_phase_has_its_expectation_and_no_other_file_lies_there() -> Outcome {
    if std::env::var_os(BLESS).is_some() {
        return Ok(());
    }
    let phases: BTreeSet<String> = PHASES.iter().map(|(name, _)| (*name).to_owned()).collect();
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(folder())? {
        files.insert(entry?.file_name().to_string_lossy().into_owned());
    }
    assert!(files.remove(EXPECTED), "{EXPECTED} is missing");
    let wanted = phases.iter().map(|name| format!("{name}.yaml"));
    assert_eq!(files, wanted.collect());
    let expected = fs::read_to_string(folder().join(EXPECTED))?;
    let rows = expected.lines().filter(|line| !line.starts_with('#'));
    let rows: BTreeSet<_> = rows
        .filter_map(|row| row.split('\t').next())
        .map(str::to_owned)
        .collect();
    assert_eq!(rows, phases);
    Ok(())
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("recorded")
}

fn compare(path: &Path, found: &str) -> Outcome {
    if std::env::var_os(BLESS).is_some() {
        fs::create_dir_all(folder())?;
        return Ok(fs::write(path, found)?);
    }
    let shown = path.display();
    let advice = format!("if it is right, run with {BLESS}=1 and look at what changed");
    let expected =
        fs::read_to_string(path).map_err(|error| format!("{shown}: {error}; {advice}"))?;
    let mut lines = expected.lines().zip(found.lines()).enumerate();
    if let Some((index, (old, new))) = lines.find(|(_, (old, new))| old != new) {
        return Err(format!("{shown}:{}\n- {old}\n+ {new}\n{advice}", index + 1).into());
    }
    if expected.lines().count() != found.lines().count() {
        return Err(format!("{shown} has not as many lines as it should; {advice}").into());
    }
    Ok(())
}

impl Story {
    /// Applies a spec with these fields beside its source.
    fn apply(&mut self, source: &str, fields: &Value) -> Outcome {
        let mut spec = json!({"model": {"source": source}});
        if let (Some(spec), Some(fields)) = (spec.as_object_mut(), fields.as_object()) {
            spec.extend(fields.clone());
        }
        let mut object = model(&spec).map_err(|refusals| format!("{refusals:?}"))?;
        object.metadata.name = Some(self.name.to_owned());
        object.metadata.namespace = Some("recorded".to_owned());
        Ok(self.simulation.apply(object)?)
    }

    fn fails(&mut self, step: Step, left: Option<u32>, failure: Failure) {
        let faults = &mut self.simulation.world.faults;
        faults.set(step, Fault { failure, left });
    }

    fn advance(&mut self, seconds: u64) -> Outcome {
        Ok(self.simulation.advance(Duration::from_secs(seconds))?)
    }
}

fn failure(reason: &str, message: &str, transient: bool) -> Failure {
    Failure {
        reason: reason.to_owned(),
        message: message.to_owned(),
        transient,
    }
}

const FIRST: &str = "hf://org/first";
const SECOND: &str = "hf://org/second";

/// Two replicas of the first source that answer.
fn serving(story: &mut Story) -> Outcome {
    story.apply(FIRST, &json!({"replicas": 2}))?;
    story.advance(10)
}

/// A new generation that the operator has not seen.
fn edited(story: &mut Story) -> Outcome {
    serving(story)?;
    let blind = failure("ApiUnreachable", "the API server does not answer", true);
    story.fails(Step::Observe, None, blind);
    story.apply(SECOND, &json!({"replicas": 2}))
}

fn resolve_retried(story: &mut Story) -> Outcome {
    let unreachable = failure("HubUnreachable", "hub.example.com does not answer", true);
    story.fails(Step::Resolve, None, unreachable);
    story.apply(FIRST, &json!({}))
}

fn resolve_refused(story: &mut Story) -> Outcome {
    let missing = failure("NotFound", "there is no model hf://org/first", false);
    story.fails(Step::Resolve, None, missing);
    story.apply(FIRST, &json!({}))
}

fn starting(story: &mut Story) -> Outcome {
    story.apply(FIRST, &json!({"replicas": 2}))
}

fn unschedulable(story: &mut Story) -> Outcome {
    let full = failure("Unschedulable", "0/2 nodes have nvidia.com/gpu free", true);
    story.fails(Step::Start, None, full);
    story.apply(FIRST, &json!({}))?;
    story.advance(5)
}

/// Ready replicas that have not answered a probe yet.
fn probe_unanswered(story: &mut Story) -> Outcome {
    let silent = failure("ProbeFailed", "the probe request was not answered", true);
    story.fails(Step::Probe, None, silent);
    story.apply(FIRST, &json!({}))?;
    story.advance(5)
}

/// One replica answers, the other is still to come.
fn first_answer(story: &mut Story) -> Outcome {
    let crash = failure("Crashed", "the replica ended by itself", true);
    story.fails(Step::Start, Some(1), crash);
    story.apply(FIRST, &json!({"replicas": 2}))?;
    story.advance(5)
}

fn rolling_out(story: &mut Story) -> Outcome {
    serving(story)?;
    story.apply(SECOND, &json!({"replicas": 2}))
}

fn stalled_bad_model(story: &mut Story) -> Outcome {
    let truncated = failure("WeightsTruncated", "model.safetensors ends early", false);
    story.fails(Step::Start, None, truncated);
    story.apply(FIRST, &json!({}))?;
    story.advance(10)
}

/// The new revision does not get ready in time; the old one goes on serving.
fn stalled_deadline(story: &mut Story) -> Outcome {
    serving(story)?;
    story.simulation.world.start_delay = Duration::from_secs(3600);
    let fields = json!({"replicas": 2, "rollout": {"progressDeadline": "1m"}});
    story.apply(SECOND, &fields)?;
    story.advance(60)
}

fn paused(story: &mut Story) -> Outcome {
    serving(story)?;
    story.apply(FIRST, &json!({"replicas": 2, "paused": true}))
}

fn paused_edit(story: &mut Story) -> Outcome {
    serving(story)?;
    story.apply(SECOND, &json!({"replicas": 2, "paused": true}))
}

fn scaled_to_zero(story: &mut Story) -> Outcome {
    serving(story)?;
    story.apply(FIRST, &json!({"replicas": 0}))
}

fn never_started(story: &mut Story) -> Outcome {
    story.apply(FIRST, &json!({"replicas": 0}))
}

/// Nobody has asked for long, and everyone might.
fn asleep(story: &mut Story) -> Outcome {
    story.simulation.world.set_door(Door::Open);
    let scaling = json!({"minReplicas": 0, "maxReplicas": 2, "idleAfter": "1m"});
    story.apply(FIRST, &json!({"autoscaling": scaling}))?;
    story.advance(120)
}

/// Steps of a strategy that has none; what serves goes on.
fn invalid_spec(story: &mut Story) -> Outcome {
    serving(story)?;
    let rollout = json!({"strategy": "blueGreen", "steps": [{"weight": 10}]});
    let fields = json!({"replicas": 2, "rollout": rollout});
    story.apply(FIRST, &fields)
}
