//! Builds all tests once, runs them, and counts.
use std::{
    io::{self, Read},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::{
    cargo::{self, Built},
    jobs::Group,
    screen::{Paint, Screen},
};

/// A program of tests that runs longer hangs.
const LONGEST: Duration = Duration::from_mins(15);

/// Numbers of tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) ignored: usize,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

/// All tests of the repository, built.
#[derive(Debug)]
pub(crate) struct Tests {
    built: Vec<Built>,
    /// What became of those that ran.
    pub(crate) counts: Counts,
    /// Names of the failed ones.
    pub(crate) failures: Vec<String>,
    /// Names of those that did not run, and why.
    pub(crate) left_out: Vec<String>,
}

impl Tests {
    /// Builds them.
    pub(crate) fn build(screen: &mut Screen) -> Result<Self> {
        screen.line(screen.paint(Paint::Bold, "Building everything"));
        let built = cargo::build(&["test", "--workspace", "--no-run"])?;
        let counts = Counts::default();
        Ok(Self { built, counts, failures: Vec::new(), left_out: Vec::new() })
    }

    /// Runs a group of them.
    pub(crate) fn run(&mut self, screen: &mut Screen, group: Group) -> Result<()> {
        if group == Group::Doc {
            let command = cargo::command(&["test", "--quiet", "--workspace", "--doc"]);
            return self.run_one(screen, "all crates", command);
        }
        let wanted = |built: &&Built| built.is_test && Group::of(&built.package) == group;
        let mut chosen: Vec<Built> = self.built.iter().filter(wanted).cloned().collect();
        chosen.sort_by(|a, b| (&a.package, &a.target).cmp(&(&b.package, &b.target)));
        let programs = cargo::folder_of(&self.built, "lvsd")?;
        for built in chosen {
            let mut command = Command::new(&built.program);
            command.current_dir(&built.folder);
            command.env("CARGO_MANIFEST_DIR", &built.folder).env("LVS_PROGRAMS", &programs);
            let own = built.target.replace('_', "-") == built.package;
            let name = if own {
                built.package.clone()
            } else {
                format!("{} {}", built.package, built.target)
            };
            self.run_one(screen, &name, command)?;
        }
        Ok(())
    }

    fn run_one(&mut self, screen: &mut Screen, name: &str, command: Command) -> Result<()> {
        screen.begin(format_args!("  ...  {name}"));
        let start = Instant::now();
        let (success, output) = run(command).with_context(|| format!("run the tests of {name}"))?;
        let took = start.elapsed().as_secs_f32();
        let (mut counts, failures) = read(&output);
        if !success && counts.failed == 0 {
            counts.failed = 1; // it crashed, hangs, or does not build
            self.failures.push(format!("{name}: ended before its tests did"));
        }
        self.failures.extend(failures.iter().map(|failure| format!("{name}: {failure}")));
        self.left_out.extend(ignored(&output).map(|test| format!("{name}: {test}")));
        self.counts.add(counts);
        if counts == Counts::default() {
            screen.begin(format_args!("{:78}", "")); // nothing to tell of programs without tests
            return Ok(());
        }
        let (word, paint) =
            if counts.failed == 0 { ("ok", Paint::Good) } else { ("FAIL", Paint::Bad) };
        let word = screen.paint(paint, format_args!("{word:<4}"));
        let Counts { passed, failed, ignored } = counts;
        let more =
            |count, what| if count > 0 { format!("  {count} {what}") } else { String::new() };
        let line = format!(
            "  {word} {name:<40} {passed:>4} passed {took:>6.1} s{}{}",
            more(failed, "failed"),
            more(ignored, "ignored"),
        );
        screen.line(line);
        if failed > 0 {
            output.lines().for_each(|line| screen.line(format_args!("  | {line}")));
        }
        Ok(())
    }
}

/// Runs a program to its end, or kills it when it hangs: whether all went well, and its output.
fn run(mut command: Command) -> Result<(bool, String)> {
    let (mut reader, writer) = io::pipe().context("make a pipe")?;
    let theirs = writer.try_clone().context("make a pipe")?;
    command.stdin(Stdio::null()).stdout(writer).stderr(theirs).env("RUST_BACKTRACE", "0");
    let mut child = command.spawn()?;
    drop(command); // and with it our writing ends
    let (sender, ended) = mpsc::channel();
    thread::spawn(move || {
        let mut output = Vec::new();
        let done = reader.read_to_end(&mut output);
        // The receiver is gone when the program hung.
        drop(sender.send(done.map(|_| output)));
    });
    match ended.recv_timeout(LONGEST) {
        Ok(output) => {
            let output = String::from_utf8_lossy(&output?).into_owned();
            Ok((child.wait()?.success(), output))
        }
        Err(_hangs) => {
            child.kill()?;
            child.wait()?;
            Ok((false, format!("killed: it did not end within {LONGEST:?}\n")))
        }
    }
}

/// Counts and the names of failed tests from what the test harness prints.
fn read(output: &str) -> (Counts, Vec<String>) {
    let mut counts = Counts::default();
    let mut failures = Vec::new();
    for line in output.lines() {
        if let Some(rest) = line.strip_prefix("test result: ") {
            let number = |word: &str| {
                let mut parts = rest.split(['.', ';']).map(str::trim);
                let found = parts.find_map(|part| part.strip_suffix(word));
                found.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
            };
            counts.add(Counts {
                passed: number("passed"),
                failed: number("failed"),
                ignored: number("ignored"),
            });
        } else if let Some(name) = line.strip_prefix("---- ").and_then(|l| l.split(' ').next()) {
            failures.push(name.to_owned());
        }
    }
    (counts, failures)
}

/// Tests that are marked as ignored, with the reason that they give.
fn ignored(output: &str) -> impl Iterator<Item = String> {
    let lines = output.lines().filter_map(|line| line.strip_prefix("test ")?.split_once(" ... "));
    lines.filter_map(|(name, end)| {
        let reason = end.strip_prefix("ignored")?.trim_start_matches(", ");
        Some(if reason.is_empty() { name.to_owned() } else { format!("{name} ({reason})") })
    })
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn results_of_several_programs_add_up() {
        let output = "\nrunning 3 tests\n.F.\n\n---- a::b stdout ----\nboom\n\n\
            test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; \
            finished in 0.00s\n\
            test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out\n";
        let expected = Counts { passed: 13, failed: 1, ignored: 1 };
        assert_eq!(read(output), (expected, vec!["a::b".to_owned()]));
    }

    #[test]
    fn ignored_tests_are_named_with_their_reasons() {
        let output = "test a ... ok\ntest b ... ignored\ntest c ... ignored, slow\n";
        assert_eq!(ignored(output).collect::<Vec<_>>(), ["b", "c (slow)"]);
    }

    #[test]
    fn output_and_status_of_a_program_are_kept() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two >&2; exit 3"]);
        assert_eq!(run(command).expect("runs"), (false, "one\ntwo\n".to_owned()));
    }
}
