use super::*;
use crate::desired::{Server, ServerCheck, Service};

fn every_word_comes_back<T: Word + fmt::Debug>() {
    for (word, value) in T::TABLE {
        assert_eq!(value.word(), *word);
        assert_eq!(T::from_word(word).as_ref(), Ok(value));
    }
}

#[test]
fn tables_are_complete_and_unambiguous() {
    every_word_comes_back::<Protocol>();
    every_word_comes_back::<Scheduler>();
    every_word_comes_back::<Method>();
    every_word_comes_back::<Entries>();
    every_word_comes_back::<Stray>();
    every_word_comes_back::<OnFailure>();
    every_word_comes_back::<CheckKind>();
    every_word_comes_back::<FlagWord>();
    every_word_comes_back::<crate::validate::Field>();
    every_word_comes_back::<crate::change::ServerMethod>();
}

#[test]
fn an_unknown_word_is_helped() {
    let error = Scheduler::from_word("wlcc").unwrap_err();
    assert_eq!(error.to_string(), "unknown scheduler `wlcc`; did you mean `wlc`?");
    let error = Protocol::from_word("quic").unwrap_err();
    assert_eq!(error.to_string(), "unknown protocol `quic`; known are tcp, udp");
}

#[test]
fn json_of_a_service_uses_the_words_and_has_defaults() {
    let short = r#"{"name": "web", "address": "192.0.2.1:80", "scheduler": "sh",
        "scheduler_flags": ["sh-port"], "check": {"type": "http", "interval": 0.2},
        "servers": [{"address": "10.0.0.1:80", "check": {"type": "none"}}]}"#;
    let service: Service = serde_json::from_str(short).unwrap();
    assert_eq!(service.scheduler_flags, SchedulerFlags(SchedulerFlags::PORT));
    assert_eq!(service.stray, Stray::Hash);
    assert_eq!(service.check.as_ref().unwrap().interval, Duration::from_millis(200));
    let server = Server::new("10.0.0.1:80".parse().unwrap());
    assert_eq!(service.servers, [Server { check: ServerCheck::Off, ..server }]);

    let json = serde_json::to_value(&service).unwrap();
    assert_eq!(json["scheduler_flags"], serde_json::json!(["sh-port"]));
    assert_eq!(json["timeouts"]["established"], serde_json::json!(900));
    assert_eq!(json["check"]["interval"], serde_json::json!(0.2));
    assert_eq!(json["servers"][0]["check"], serde_json::json!({"type": "none"}));
}

#[test]
fn json_refuses_what_it_does_not_know() {
    for (bad, why) in [
        (r#"{"name": "a", "address": "1.2.3.4:80", "wieght": 1}"#, "unknown field `wieght`"),
        (
            r#"{"name": "a", "address": "1.2.3.4:80", "scheduler": "sh",
             "scheduler_flags": ["mh-port"]}"#,
            "no flag of the scheduler sh",
        ),
        (
            r#"{"name": "a", "address": "1.2.3.4:80", "check": {"type": "tcp", "path": "/"}}"#,
            "belong to a check of type http",
        ),
        (r#"{"name": "a", "address": "1.2.3.4:80", "check": {"type": "none"}}"#, "is no check"),
        (
            r#"{"name": "a", "address": "1.2.3.4:80", "check": {"type": "tcp", "interval": -1}}"#,
            "cannot be -1 seconds",
        ),
    ] {
        let error = serde_json::from_str::<Service>(bad).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}
