use super::*;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn desired() -> Desired {
    let mut service = Service::new("web", ServiceKey::tcp(address("192.0.2.1:80")));
    service.servers.push(Server::new(address("10.0.0.1:80")));
    Desired { services: vec![service] }
}

fn refused(change: &Change) -> (String, String) {
    let error = desired().apply(change).unwrap_err();
    (error.to_string(), error.remedy())
}

fn edit(edit: ServiceEdit) -> Change {
    Change::EditService { service: "web".into(), edit }
}

#[test]
fn says_what_is_wrong_and_what_to_do() {
    let add =
        |text| Change::AddServer { service: "web".into(), server: Server::new(address(text)) };
    let (text, remedy) = refused(&Change::RemoveService { service: "wep".into() });
    assert_eq!(text, "there is no service `wep`");
    assert_eq!(remedy, "did you mean `web`?");
    let (text, remedy) = refused(&add("10.0.0.1:80"));
    assert_eq!(text, "service `web` has the server 10.0.0.1:80 already");
    assert_eq!(remedy, "edit it with `lvs server edit web 10.0.0.1:80`");
    let (text, remedy) = refused(&add("10.0.0.2:8080"));
    assert_eq!(
        text,
        "service `web`, server 10.0.0.2:8080: the server's port 8080 differs from the service's \
         port 80 without NAT"
    );
    assert_eq!(remedy, "write port 80, or `forward = \"nat\"`");
    let gone = Change::Resume { service: "web".into(), address: address("10.0.0.1:81") };
    assert_eq!(refused(&gone).1, "did you mean 10.0.0.1:80?");
    let (text, _) = refused(&edit(ServiceEdit {
        scheduler_flags: Some(vec![FlagWord::from_word("mh-port").unwrap()]),
        ..ServiceEdit::default()
    }));
    assert_eq!(text, "service `web`: `mh-port` is no flag of the scheduler wlc");
}

#[test]
fn flags_and_stray_follow_the_scheduler() {
    let mut state = desired();
    let scheduler = |scheduler| ServiceEdit { scheduler: Some(scheduler), ..Default::default() };
    let hash = ServiceEdit {
        scheduler_flags: Some(vec![FlagWord::from_word("sh-port").unwrap()]),
        ..scheduler(Scheduler::Sh)
    };
    state.apply(&edit(hash)).unwrap();
    let now = |state: &Desired| (state.services[0].scheduler_flags.0, state.services[0].stray);
    assert_eq!(now(&state), (SchedulerFlags::PORT, Stray::Hash));
    state.apply(&edit(scheduler(Scheduler::Sh))).unwrap();
    assert_eq!(now(&state), (SchedulerFlags::PORT, Stray::Hash));
    state.apply(&edit(scheduler(Scheduler::Rr))).unwrap();
    assert_eq!(now(&state), (0, Stray::Stack));
}

#[test]
fn a_drain_begins_and_ends() {
    let (service, address) = ("web".to_owned(), address("10.0.0.1:80"));
    let mut state = desired();
    let drain = Change::Drain { service: service.clone(), address, deadline: Some(7) };
    state.apply(&drain).unwrap();
    assert_eq!(state.services[0].servers[0].drain, Some(Drain { deadline: Some(7) }));
    state.apply(&Change::Resume { service, address }).unwrap();
    assert_eq!(state, desired());
}

#[test]
fn null_takes_a_check_away_and_absence_leaves_it() {
    let read = |text| serde_json::from_str::<ServiceEdit>(text).unwrap().check;
    assert_eq!(read("{}"), None);
    assert_eq!(read(r#"{"check": null}"#), Some(None));
    let tcp = Check::new(crate::desired::Probe::Tcp);
    assert_eq!(read(r#"{"check": {"type": "tcp"}}"#), Some(Some(tcp)));
}
