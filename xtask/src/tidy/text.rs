//! Rules about the text of files.

use super::Finding;
use super::source::{SourceFile, is_comment};

/// Words that a part of the tree may not contain outside tests and comments.
struct Ban {
    words: &'static [&'static str],
    /// Path prefixes that it holds for; files beneath `except` are free.
    within: &'static [&'static str],
    except: &'static [&'static str],
    advice: &'static str,
}

const BANS: &[Ban] = &[
    Ban {
        words: &["tokio", "futures::", "std::thread", "std::process"],
        within: &["core/"],
        except: &[],
        advice: "core decides and waits for nothing: let a world do it",
    },
    Ban {
        words: &[
            "reqwest",
            "hyper",
            "TcpStream",
            "TcpListener",
            "UdpSocket",
            "std::fs",
            "std::env",
        ],
        within: &["core/"],
        except: &[],
        advice: "core touches no world: take the value as an argument, act through `World`",
    },
    Ban {
        words: &[
            "kube::Client",
            "kube::Api",
            "kube::client",
            "kube::api",
            "kube::runtime",
        ],
        within: &["core/", "crds/"],
        except: &[],
        advice: "only the operator speaks to a cluster",
    },
    Ban {
        words: &[
            "SystemTime::now",
            "Instant::now",
            "Timestamp::now",
            "Zoned::now",
            "rand::rng",
        ],
        within: &["core/"],
        except: &[],
        advice: "core has neither clock nor chance: take `now` as an argument",
    },
    Ban {
        words: &[
            "chandler.dev/",
            "\"vllm:",
            "\"chandler:",
            "\"chandler_gateway_",
            "\"/livez",
            "\"/readyz",
            "\"/startupz",
            "\"/metrics",
            "\"/v1/",
            "\"CHANDLER_",
            "\"HF_",
            "\"x-chandler-",
        ],
        // The development tools see Chandler from outside, as its users do.
        within: &[
            "crds/",
            "core/",
            "operator/",
            "source/",
            "server/",
            "gateway/",
            "cli/",
            "sim/",
        ],
        except: &["crds/src/names/"],
        advice: "names that two parts agree on stand in crds/src/names/ alone: use its constant",
    },
    Ban {
        words: &[
            "unsafe {",
            "unsafe fn",
            "unsafe impl",
            "unsafe extern",
            "allow(unsafe_code)",
        ],
        within: &[""],
        except: &[MAP_FILE, SIMD_FILE, OWN_FOLDER],
        advice: "unsafe code is allowed in two files alone, which map weights and call vector instructions",
    },
];

/// The files that may hold unsafe code: this one maps weights into memory, the next calls vector instructions.
const MAP_FILE: &str = "server/src/load/map.rs";
const SIMD_FILE: &str = "server/kernels/src/simd.rs";
/// These rules themselves, which must spell out what they forbid.
const OWN_FOLDER: &str = "xtask/src/tidy/";
/// Lines of a source file at most: beyond, it has more than one subject.
const MAX_LINES: usize = 400;
/// Folders of one machine.
const MACHINE_PATHS: &[&str] = &["/work", "/root", "/home"];
/// Signs of a package registry other than the default one.
const REGISTRY_SIGNS: &[&str] = &[
    "index-url",
    "index_url",
    "find-links",
    "trusted-host",
    "replace-with",
    "pythonhosted",
];

/// Checks every rule of this file.
pub(crate) fn check(files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files
        .iter()
        .filter(|file| !file.path.starts_with(OWN_FOLDER))
    {
        for ban in BANS {
            check_ban(ban, file, &mut findings);
        }
        check_machine(file, &mut findings);
    }
    for file in files
        .iter()
        .filter(|file| file.is_rust() && file.path.contains("src/"))
    {
        check_length(file, &mut findings);
    }
    findings
}

fn check_ban(ban: &Ban, file: &SourceFile, findings: &mut Vec<Finding>) {
    let is_code = file.is_rust() || file.path.ends_with("Cargo.toml");
    let is_within = ban
        .within
        .iter()
        .any(|prefix| file.path.starts_with(prefix));
    let is_free = ban
        .except
        .iter()
        .any(|prefix| file.path.starts_with(prefix));
    if !is_code || !is_within || is_free {
        return;
    }
    for (line, text) in file.product_lines() {
        for word in ban.words.iter().filter(|word| has_word(text, word)) {
            let word = word.trim_start_matches('"');
            let message = format!("`{word}` doesn't belong here: {}", ban.advice);
            findings.push(Finding {
                place: file.path.clone(),
                line,
                message,
            });
        }
    }
}

fn check_machine(file: &SourceFile, findings: &mut Vec<Finding>) {
    let mut find = |line, message: String| {
        findings.push(Finding {
            place: file.path.clone(),
            line,
            message,
        });
    };
    for (line, text) in file.lines() {
        for path in MACHINE_PATHS.iter().filter(|path| has_path(text, path)) {
            find(
                line,
                format!("`{path}` is a folder of one machine: write a relative path"),
            );
        }
        for sign in REGISTRY_SIGNS
            .iter()
            .filter(|sign| !is_comment(text) && text.contains(**sign))
        {
            find(
                line,
                format!("`{sign}` names a registry: leave that to the user's own settings"),
            );
        }
    }
}

fn check_length(file: &SourceFile, findings: &mut Vec<Finding>) {
    let count = file.text.lines().count();
    if count > MAX_LINES {
        let message = format!("{count} lines, over {MAX_LINES}: split it by subject");
        findings.push(Finding {
            place: file.path.clone(),
            line: 0,
            message,
        });
    }
}

/// Whether `text` has `word`, not merely as the end of a longer word.
fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        !before.is_some_and(|before| before.is_alphanumeric() || before == '_')
    })
}

/// Whether `text` has the absolute path `path`, or one below it.
fn has_path(text: &str, path: &str) -> bool {
    text.match_indices(path).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + path.len()..].chars().next();
        let goes_on = |next: char| next.is_alphanumeric() || "_-.".contains(next);
        let starts = !before.is_some_and(|before| goes_on(before) || "/}>~)".contains(before));
        starts && after == Some('/')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_one(path: &str, text: &str) -> Vec<(usize, String)> {
        let findings = check(&[SourceFile::new(path, text)]);
        findings
            .into_iter()
            .map(|finding| (finding.line, finding.message))
            .collect()
    }

    #[test]
    fn core_waits_for_nothing_and_has_no_clock() {
        let found = check_one(
            "core/src/a.rs",
            "use tokio::time;\nlet t = Instant::now();\n",
        );
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].1.starts_with("`tokio`"), "{found:?}");
        assert_eq!(found[1].0, 2);
        assert_eq!(
            check_one("core/Cargo.toml", "tokio.workspace = true\n").len(),
            1
        );
    }

    #[test]
    fn core_may_name_addresses_and_speak_of_tokio() {
        let text = "// no tokio here\nuse std::net::SocketAddr;\nlet autokio = 1;\n";
        assert_eq!(check_one("core/src/a.rs", text), []);
        assert_eq!(check_one("cli/src/a.rs", "use tokio::time;\n"), []);
    }

    #[test]
    fn shared_names_stand_in_one_folder() {
        for literal in [
            "\"chandler.dev/model\"",
            "\"vllm:x\"",
            "\"/readyz\"",
            "\"CHANDLER_LOCK\"",
        ] {
            let text = format!("let name = {literal};\n");
            assert_eq!(check_one("gateway/src/a.rs", &text).len(), 1, "{literal}");
            assert_eq!(check_one("crds/src/names/a.rs", &text), [], "{literal}");
            assert_eq!(check_one("gateway/tests/a.rs", &text), [], "{literal}");
            assert_eq!(check_one("docs/metrics.md", &text), [], "{literal}");
            let in_test = format!("#[cfg(test)]\nmod tests {{\n{text}}}\n");
            assert_eq!(check_one("gateway/src/a.rs", &in_test), [], "{literal}");
        }
    }

    #[test]
    fn unsafe_code_stands_in_two_files() {
        let text = "let x = unsafe { y };\n";
        assert_eq!(check_one("cli/src/a.rs", text).len(), 1);
        assert_eq!(check_one("server/kernels/src/matrix.rs", text).len(), 1);
        assert_eq!(check_one(MAP_FILE, text), []);
        assert_eq!(check_one(SIMD_FILE, text), []);
    }

    #[test]
    fn long_files_are_told() {
        let text = "\n".repeat(MAX_LINES + 1);
        assert_eq!(check_one("cli/src/a.rs", &text).len(), 1);
        assert_eq!(check_one("cli/src/a.rs", &text[1..]), []);
        assert_eq!(check_one("docs/a.md", &text), []);
    }

    #[test]
    fn machine_paths_are_told_and_others_are_not() {
        assert_eq!(check_one("docs/a.md", "see /home/me/x\n").len(), 1);
        assert_eq!(check_one("docs/a.md", "cd \"/work/x\"\n").len(), 1);
        let free = "https://example.com/home/x, target/work/x, ~/work/x, /workspace/x, the /root\n";
        assert_eq!(check_one("docs/a.md", free), []);
    }

    #[test]
    fn registries_are_left_to_the_user() {
        assert_eq!(
            check_one("a/requirements.txt", "--index-url https://example.com\n").len(),
            1
        );
        assert_eq!(check_one("a/requirements.txt", "openai==1\n"), []);
    }
}
