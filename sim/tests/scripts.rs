//! Plays every `scripts/*.script` and compares with the `.golden` beside it. A new script is a new
//! test; `CHANDLER_BLESS=1` writes what came out.

use std::fs;
use std::path::{Path, PathBuf};

use chandler_sim::script::play;
use libtest_mimic::{Arguments, Failed, Trial};

const BLESS: &str = "CHANDLER_BLESS";

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let trials = match files(&folder) {
        Ok(files) => files.into_iter().filter_map(trial).collect(),
        Err(error) => {
            let message = format!("{}: {error}", folder.display());
            vec![Trial::test("scripts", move || Err(message.into()))]
        }
    };
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    paths.collect()
}

/// A script's test. A golden alone is a test that tells so.
fn trial(path: PathBuf) -> Option<Trial> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is = |extension| path.extension().is_some_and(|it| it == extension);
    if is("script") {
        return Some(Trial::test(name.into_owned(), move || run(&path)));
    }
    if is("golden") && path.with_extension("script").is_file() {
        return None;
    }
    let message = format!("{name} belongs to no script: remove it");
    Some(Trial::test(name.into_owned(), move || Err(message.into())))
}

fn run(path: &Path) -> Result<(), Failed> {
    let text = fs::read_to_string(path)?;
    let played = play(&path.display().to_string(), &text)?;
    if !played.harms.is_empty() {
        return Err(format!("{}\n{}", played.harms.join("\n"), played.text).into());
    }
    let golden = path.with_extension("golden");
    if std::env::var_os(BLESS).is_some() {
        fs::write(&golden, played.text)?;
        return Ok(());
    }
    let expected = fs::read_to_string(&golden).map_err(|error| {
        let shown = golden.display();
        format!("{shown}: {error}: run with {BLESS}=1 and look at what it writes")
    })?;
    compare(&golden, &expected, &played.text)
}

/// Shows the first line that differs, with those before it.
fn compare(golden: &Path, expected: &str, found: &str) -> Result<(), Failed> {
    if expected == found {
        return Ok(());
    }
    let both = expected.lines().zip(found.lines());
    let same = both.take_while(|(a, b)| a == b).count();
    let context: Vec<&str> = expected.lines().take(same).collect();
    let context = context[same.saturating_sub(5)..].join("\n");
    let line = |text: &str| text.lines().nth(same).unwrap_or("the end").to_owned();
    Err(format!(
        "{}:{} differs:\n{context}\n- {}\n+ {}\nif the new line is right, run with {BLESS}=1",
        golden.display(),
        same + 1,
        line(expected),
        line(found),
    )
    .into())
}
