//! The jobs of continuous integration: the one list that `ci` and `test` run.

/// What is checked on every change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    /// Its name for `cargo xtask ci NAME`.
    pub(crate) name: &'static str,
    /// What it is for.
    pub(crate) what: &'static str,
    /// What it does.
    pub(crate) work: Work,
}

/// What a job does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    /// Calls cargo.
    Cargo(&'static [&'static str]),
    /// Calls cargo with a subcommand that is not part of it; without it the job is left out, and
    /// says so.
    Extra(&'static str, &'static [&'static str]),
    /// Runs tests.
    Tests(Group),
}

/// Tests that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// Of the code by itself: units, properties, programs.
    Unit,
    /// Through the kernel program: it builds, the verifier accepts it, packets come out right.
    Kernel,
    /// Of the laboratory and of what reads the kernel's network tables.
    Lab,
    /// Real clients, servers, daemon.
    EndToEnd,
    /// Examples in the documentation.
    Doc,
}

/// All jobs, in the order in which they are run: what fails soon comes first.
pub(crate) const JOBS: [Job; 9] = [
    Job {
        name: "fmt",
        what: "the code is formatted",
        work: Work::Cargo(&["fmt", "--all", "--check"]),
    },
    Job {
        name: "clippy",
        what: "no lint is broken",
        work: Work::Cargo(&[
            "clippy",
            "--quiet",
            "--workspace",
            "--all-targets",
            "--",
            "--deny",
            "warnings",
        ]),
    },
    Job { name: "unit", what: "units, properties, programs", work: Work::Tests(Group::Unit) },
    Job {
        name: "bpf",
        what: "the kernel program builds, the verifier accepts it, packets come out right",
        work: Work::Tests(Group::Kernel),
    },
    Job {
        name: "lab",
        what: "the laboratory, routes and neighbours in namespaces",
        work: Work::Tests(Group::Lab),
    },
    Job {
        name: "e2e",
        what: "real clients and servers, the real daemon between them",
        work: Work::Tests(Group::EndToEnd),
    },
    Job { name: "doctest", what: "examples in the documentation", work: Work::Tests(Group::Doc) },
    Job {
        name: "doc",
        what: "the documentation builds",
        work: Work::Cargo(&["doc", "--quiet", "--workspace", "--no-deps"]),
    },
    Job {
        name: "deny",
        what: "licences and advisories of dependencies",
        work: Work::Extra("deny", &["deny", "check", "licenses", "bans", "sources"]),
    },
];

impl Group {
    /// The group of a package's tests.
    pub(crate) fn of(package: &str) -> Self {
        match package {
            "lvs-dataplane" | "lvs-scenarios" | "lvs-bench" | "lvs-bench-xdp" => Self::Kernel,
            "lvs-lab" | "lvs-netlink" => Self::Lab,
            "lvs-e2e" => Self::EndToEnd,
            _ => Self::Unit,
        }
    }
}
