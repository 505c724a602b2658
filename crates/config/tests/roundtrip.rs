//! What is written is what is read.
#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests may fail them")]
use std::path::Path;

use lvs_config::{Config, load, parse, persist, services_to_toml, to_toml};
use proptest::prelude::*;

#[path = "../../model/tests/support/generate.rs"]
mod generate;

const DAEMON: &str = "[daemon]\ninterfaces = [\"eth0\"]\n";

fn read(text: &str) -> Config {
    parse(Path::new("lvs.toml"), text).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

fn edited(text: &str, changes: &[lvs_model::change::Change]) -> String {
    persist(Path::new("lvs.toml"), text, changes).unwrap()
}

/// A text that says what the services of `desired` are, with every list in braces.
fn in_braces(text: &str) -> String {
    let mut document: toml_edit::DocumentMut = text.parse().unwrap();
    let Some(services) = document.remove("service") else {
        return text.to_owned();
    };
    let array = services.into_array_of_tables().unwrap().into_array();
    document.insert("service", toml_edit::Item::Value(array.into()));
    document.to_string()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn a_written_file_says_the_same(desired in generate::desired()) {
        let config = read(&format!("{DAEMON}{}", services_to_toml(&desired)));
        prop_assert_eq!(&config.desired, &desired);
        prop_assert_eq!(read(&to_toml(&config)), config);
    }

    #[test]
    fn a_change_in_the_file_is_the_change_of_the_state(
        start in generate::desired(),
        changes in generate::changes(6),
        braces: bool,
    ) {
        let mut text = format!("{DAEMON}{}", services_to_toml(&start));
        if braces {
            text = in_braces(&text);
        }
        let mut state = start;
        let mut made = Vec::new();
        let mut stepwise = text.clone();
        for (pick, seed) in changes {
            let change = generate::change(&state, pick, seed);
            if state.apply(&change).is_ok() {
                stepwise = edited(&stepwise, std::slice::from_ref(&change));
                prop_assert_eq!(&read(&stepwise).desired, &state);
                made.push(change);
            } else {
                let refused = persist(Path::new("lvs.toml"), &stepwise, &[change]);
                prop_assert!(refused.is_err());
            }
        }
        prop_assert_eq!(read(&edited(&text, &made)).desired, state);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        drop(parse(Path::new("f"), &text).map_err(|errors| errors.to_string()));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        let text = String::from_utf8_lossy(&bytes);
        drop(parse(Path::new("f"), &text).map_err(|errors| errors.to_string()));
    }

    #[test]
    fn a_damaged_file_is_read_or_refused(
        desired in generate::desired(),
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), "\\PC{0,3}|[\n\\[\\]{}=\",.#0-9]{0,3}", 0usize..4), 1..6),
    ) {
        let mut text = format!("{DAEMON}{}", services_to_toml(&desired));
        for (at, new, length) in damage {
            let start = text.floor_char_boundary(at.index(text.len() + 1));
            let end = text.ceil_char_boundary((start + length).min(text.len()));
            text.replace_range(start..end, &new);
        }
        match parse(Path::new("f"), &text) {
            Ok(config) => prop_assert!(config.desired.violations().is_empty()),
            Err(errors) => {
                prop_assert!(errors.iter().count() > 0);
                prop_assert!(!errors.to_string().is_empty());
            }
        }
    }
}

#[test]
fn a_file_that_is_not_text_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), b"\xff\xfe").unwrap();
    assert!(load(file.path()).unwrap_err().to_string().contains("UTF-8"));
}

/// Linear reading takes about a second without optimisation here; quadratic takes minutes.
#[test]
fn a_large_file_is_read_in_time() {
    use std::fmt::Write;
    let mut text = DAEMON.to_owned();
    for service in 0u32..1000 {
        let (a, b) = (service / 250, service % 250);
        write!(
            text,
            "[[service]]\nname = \"s{service}\"\naddress = \"192.0.{a}.{b}:80\"\n\
             check = {{ type = \"http\", path = \"/healthz\" }}\n"
        )
        .unwrap();
        for server in 1..=100 {
            writeln!(text, "[[service.server]]\naddress = \"10.{a}.{b}.{server}:80\"").unwrap();
        }
    }
    let start = std::time::Instant::now();
    let config = read(&text);
    let took = start.elapsed();
    println!("read in {took:?}");
    assert_eq!(config.daemon.servers.new_tables(), 262_144);
    assert_eq!(config.desired.services.len(), 1000);
    assert!(took < std::time::Duration::from_secs(20), "{took:?}");

    // As many errors as lines: showing them must not read the file for each.
    let broken = text.replace("address", "adress");
    let start = std::time::Instant::now();
    let errors = parse(Path::new("f"), &broken).unwrap_err();
    assert!(errors.to_string().contains("more errors are not shown"));
    let took = start.elapsed();
    println!("refused in {took:?}");
    assert!(took < std::time::Duration::from_secs(20), "{took:?}");
}
