//! The real program, as far as it goes without rights.
#![expect(clippy::unwrap_used, reason = "helpers of tests, which end them so")]
use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::PathBuf,
    process::{Command, Output},
};

const NOBODY: u32 = 65534;

const GOOD: &str = r#"
[daemon]
interfaces = ["lvs-no-such"]

[[service]]
name = "web"
address = "192.0.2.10:80"

[[service.server]]
address = "10.0.0.11:80"
"#;

struct Setup {
    dir: tempfile::TempDir,
}

impl Setup {
    fn new(text: &str) -> Self {
        let setup = Self { dir: tempfile::tempdir().unwrap() };
        fs::set_permissions(setup.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(setup.file(), text).unwrap();
        setup
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("lvs.toml")
    }

    /// Runs lvsd, with no rights where `args` ask for none.
    fn lvsd(&self, args: &[&str], rights: bool) -> Output {
        let mut program = PathBuf::from(env!("CARGO_BIN_EXE_lvsd"));
        // Only root can become somebody else; whoever is not has no rights to lose.
        let become_nobody = !rights && fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
        if become_nobody {
            // The build directory need not be open to others. `cp`, because a file that this
            // process had open for writing could be busy in the child of another test.
            let copy = self.dir.path().join("lvsd");
            assert!(Command::new("cp").arg(&program).arg(&copy).status().unwrap().success());
            program = copy;
        }
        let mut command = Command::new(program);
        command.args(args).arg("-f").arg(self.file()).env_clear();
        if become_nobody {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.output().unwrap()
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_check_says_the_same_with_and_without_rights_or_interfaces() {
    let good = Setup::new(GOOD);
    let bad = Setup::new(&GOOD.replace("10.0.0.11:80", "10.0.0.11:99999"));
    for rights in [true, false] {
        let output = good.lvsd(&["-t"], rights);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(text(&output.stdout).ends_with("is good: services 1, servers 1\n"));
        let output = bad.lvsd(&["-t"], rights);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains("lvs.toml:10:11"), "{}", text(&output.stderr));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_missing_interface_is_shown_at_its_place_with_the_existing_ones() {
    let setup = Setup::new(GOOD);
    let output = setup.lvsd(&[], true);
    assert_eq!(output.status.code(), Some(1));
    let shown = text(&output.stderr);
    assert!(shown.contains("lvs.toml:3:15"), "{shown}");
    assert!(shown.contains("lvs-no-such") && shown.contains("lo"), "{shown}");
}

#[test]
fn without_rights_it_says_which_are_missing() {
    let setup = Setup::new(&GOOD.replace("lvs-no-such", "lo"));
    let output = setup.lvsd(&[], false);
    assert_eq!(output.status.code(), Some(1));
    let shown = text(&output.stderr);
    assert!(shown.contains("CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF"), "{shown}");
    assert!(shown.contains("help: run lvsd as root"), "{shown}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let setup = Setup::new(GOOD);
    fs::remove_file(setup.file()).unwrap();
    let output = setup.lvsd(&[], true);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("lvs.toml"), "{}", text(&output.stderr));
}

#[test]
fn wrong_usage_exits_with_2() {
    let setup = Setup::new(GOOD);
    assert_eq!(setup.lvsd(&["--frobnicate"], true).status.code(), Some(2));
}
