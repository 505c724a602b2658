//! Every mistake of a file is shown at its place with what to do about it.
#![expect(clippy::unwrap_used, reason = "the helpers of tests may fail them")]
use std::path::Path;

use lvs_config::parse;

const DAEMON: &str = "[daemon]\ninterfaces = [\"eth0\"]\n";

/// The errors of a text behind a valid `[daemon]`, as lines of "line:column message: remedy".
fn told(text: &str) -> Vec<String> {
    let errors = parse(Path::new("/etc/lvs/lvs.toml"), &format!("{DAEMON}{text}")).unwrap_err();
    let tell = |error: &lvs_config::ConfigError| {
        let (line, column) = errors.place(error).unwrap();
        format!("{line}:{column} {}: {}", error.problem, error.problem.remedy())
    };
    errors.iter().map(tell).collect()
}

fn web(rest: &str) -> String {
    format!("[[service]]\nname = \"web\"\naddress = \"192.0.2.10:80\"\n{rest}\n")
}

#[test]
fn an_error_underlines_its_place() {
    let text = format!("{DAEMON}[[service]]\nname = \"web\"\nadress = \"192.0.2.10:80\"\n");
    let errors = parse(Path::new("/etc/lvs/lvs.toml"), &text).unwrap_err();
    let expected = "\
error: unknown key `adress` in [[service]] \"web\"
 --> /etc/lvs/lvs.toml:5:1
  |
5 | adress = \"192.0.2.10:80\"
  | ^^^^^^ did you mean `address`?";
    assert_eq!(errors.to_string(), expected);
    assert!(errors.render(true).contains("\u{1b}["));
}

#[test]
fn a_duplicate_points_to_both_places() {
    let text = format!("{DAEMON}{}{}", web(""), web(""));
    let errors = parse(Path::new("lvs.toml"), &text).unwrap_err();
    let expected = "\
error: two services have the name `web`
 --> lvs.toml:8:8
  |
8 | name = \"web\"
  |        ^^^^^ give one of them another name
  |
 ::: lvs.toml:4:8
  |
4 | name = \"web\"
  |        ----- the first one of this name

error: two services have the address tcp 192.0.2.10:80
 --> lvs.toml:9:11
  |
9 | address = \"192.0.2.10:80\"
  |           ^^^^^^^^^^^^^^^ put their servers into one service
  |
 ::: lvs.toml:5:11
  |
5 | address = \"192.0.2.10:80\"
  |           --------------- the first one of this address";
    assert_eq!(errors.to_string(), expected);
}

#[test]
fn a_missing_interface_is_shown_where_it_is_named() {
    let text = "[daemon]\ninterfaces = [\"eth0\", \"eth7\"]\n";
    let config = parse(Path::new("lvs.toml"), text).unwrap();
    let expected = "\
error: there is no interface `eth7`
 --> lvs.toml:2:23
  |
2 | interfaces = [\"eth0\", \"eth7\"]
  |                       ^^^^^^ make the interface first, or name one of lo, eth0";
    let existing = ["lo".to_owned(), "eth0".to_owned()];
    assert_eq!(config.interface_error("eth7", &existing).to_string(), expected);
}

#[test]
fn a_missing_file_says_so() {
    let errors = lvs_config::load(Path::new("/nonexistent/lvs.toml")).unwrap_err().to_string();
    assert!(errors.contains("cannot read the configuration"), "{errors}");
    assert!(errors.contains("/nonexistent/lvs.toml"), "{errors}");
    assert!(errors.contains("-f FILE"), "{errors}");
}

#[test]
fn a_file_without_daemon_or_interfaces_is_refused() {
    let errors = |text| parse(Path::new("f"), text).unwrap_err().to_string();
    assert!(errors("").contains("the file has no `daemon`"));
    assert!(errors("[daemon]").contains("[daemon] has no `interfaces`"));
    assert!(errors("[daemon]\ninterfaces = []").contains("no interface is named"));
}

/// What stands in a service, how its error begins, and what it advises.
#[test]
fn each_mistake_in_a_service_is_told() {
    for (text, begin, end) in [
        ("weigth = 1", "6:1 unknown key `weigth` in [[service]] \"web\"", ""),
        (
            "scheduler = 3",
            "6:13 `scheduler` must be a string, not a whole number",
            "`scheduler = \"wlc\"`",
        ),
        ("scheduler = \"wlcc\"", "6:13 unknown scheduler `wlcc`", "did you mean `wlc`?"),
        ("scheduler = \"lblc\"", "6:13 scheduler `lblc` is not supported yet", ""),
        ("protocol = \"sctp\"", "6:12 protocol `sctp` is not supported yet", ""),
        ("forward = \"full-nat\"", "6:11 forwarding method `full-nat` is not supported yet", ""),
        ("forward = \"local\"", "6:11 `local` cannot be chosen", "by itself"),
        ("state = \"moved\"", "6:9 `state = \"moved\"` needs a hash scheduler", "sh or mh"),
        ("state = \"some\"", "6:9 unknown state `some`", ""),
        ("mark = 7", "6:1 `mark` is not supported yet", ""),
        ("persistence = { timeout = \"5m\" }", "6:1 `persistence` is not supported yet", ""),
        ("quorum = 1", "6:1 `quorum` is not supported yet", ""),
        ("sorry_server = { address = \"10.0.0.9:80\" }", "6:1 `sorry_server` is not supp", ""),
        ("scheduler_flags = [\"mh-port\"]", "6:20 `mh-port` is no flag of the scheduler wlc", ""),
        (
            "scheduler_flags = [\"mh-prt\"]",
            "6:20 unknown scheduler flag",
            "did you mean `mh-port`?",
        ),
        ("stray = \"hash\"", "6:9 `stray = \"hash\"` needs a hash scheduler", ""),
        ("timeouts = { fin = \"5\" }", "6:20 `5` has no unit", ""),
        ("timeouts = { fin = 5 }", "6:20 `fin` must be a string", ""),
        ("timeouts = { fin = \"0s\" }", "6:20 0s is out of range", "from 1s to 365d"),
        ("check = { type = \"tcp\", path = \"/\" }", "6:25 `path` does not belong to", ""),
        ("check = { type = \"dns\" }", "6:18 type of check `dns` is not supported yet", ""),
        ("check = { interval = \"2s\" }", "6:9 [service.check] has no `type`", ""),
        ("check = { type = \"http\", status = [200, 600] }", "6:41 `status` is out of range", ""),
        ("check = { type = \"http\", path = \"x\" }", "6:33 `x` is no path", "start it with `/`"),
        ("check = { type = \"tcp\", interval = \"0s\" }", "6:36 0s is out of range", ""),
        ("check = { type = \"tcp\", fall = 0 }", "6:32 `fall` is out of range", ""),
        ("check = { type = \"service\" }", "6:18 a service cannot use the check", ""),
        ("server = 1", "6:10 `server` must be an array of tables", ""),
        (
            "server = [{ address = \"10.0.0.1:8080\" }]",
            "6:23 the server's port 8080 differs",
            "nat\"`",
        ),
        (
            "server = [{ address = \"[2001:db8::1]:80\" }]",
            "6:23 the server is IPv6 and",
            "tunnel\"`",
        ),
        ("server = [{ address = \"10.0.0.1:70000\" }]", "6:23 `70000` is no port", ""),
        ("server = [{ weight = 1 }]", "6:11 [[service.server]] has no `address`", ""),
        ("server = [{ address = \"10.0.0.1:80\", weight = -1 }]", "6:47 `weight` is out", ""),
        ("server = [{ address = \"10.0.0.1:80\", weight = 2147483648 }]", "6:47 `weight` is", ""),
        ("server = [{ address = \"10.0.0.1:80\", drain = 2030-01-01 }]", "6:46 the end of a", ""),
        ("server = [{ address = \"10.0.0.1:80\", drain = \"5m\" }]", "6:46 `drain` must be", ""),
    ] {
        let told = told(&web(text));
        assert_eq!(told.len(), 1, "{told:#?}");
        assert!(told[0].starts_with(begin) && told[0].contains(end), "{begin}: {told:#?}");
    }
}

#[test]
fn each_mistake_in_an_address_is_told() {
    for (address, message) in [
        ("192.0.2.300:80", "5:11 `192.0.2.300` is no IP address"),
        ("192.0.2.10", "5:11 the address `192.0.2.10` has no port"),
        ("2001:db8::10:80", "5:11 the IPv6 address `2001:db8::10:80` has no brackets"),
        ("192.0.2.10:65536", "5:11 `65536` is no port"),
        ("192.0.2.10:0", "5:11 port 0 (every port) is not supported yet"),
        ("0.0.0.0:80", "5:11 0.0.0.0 is the wildcard address"),
    ] {
        let told = told(&format!("[[service]]\nname = \"web\"\naddress = \"{address}\"\n"));
        assert_eq!(told.len(), 1, "{told:#?}");
        assert!(told[0].starts_with(message), "{told:#?}");
    }
}

#[test]
fn each_mistake_in_daemon_is_told() {
    for (line, message) in [
        ("connections = 10", "3:15 `connections` is out of range: write a number from 1024"),
        ("connections = 1.5", "3:15 `connections` must be a whole number, not a number with a"),
        ("xdp_mode = \"fast\"", "3:12 unknown XDP mode `fast`: known are auto, native, generic"),
        ("metrics = \"127.0.0.1:9108\"", "3:1 `metrics` is not supported yet"),
        ("socket = \"lvsd.sock\"", "3:10 `socket` is not an absolute path"),
        ("log = { level = \"loud\" }", "3:17 unknown log level `loud`"),
        ("interface = \"eth0\"", "3:1 unknown key `interface` in [daemon]: did you mean `interf"),
    ] {
        let told = told(line);
        assert_eq!(told.len(), 1, "{told:#?}");
        assert!(told[0].starts_with(message), "{told:#?}");
    }
    for name in ["a/b", "sixteen-letters-", "", "a b", ".."] {
        let text = format!("[daemon]\ninterfaces = [\"{name}\"]\n");
        let errors = parse(Path::new("f"), &text).unwrap_err().to_string();
        assert!(errors.contains("is no name of an interface"), "{errors}");
    }
}

#[test]
fn a_table_in_place_of_an_array_is_told() {
    let told = told("[service]\nname = \"web\"\n");
    assert_eq!(
        told,
        ["3:1 `service` must be an array of tables, not a table: write it like `[[service]]`"]
    );
}

#[test]
fn all_mistakes_are_told_at_once() {
    let told = told(&format!(
        "colour = 1\n{}[[service]]\nname = \"a b\"\naddress = \"192.0.2.11:80\"\n\
         name = \"twice\"\n[[service.server]]\naddress = \"10.0.0.1:81\"\n",
        web("sheduler = \"rr\"")
    ));
    let places: Vec<_> = told.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(places, ["3:1", "7:1", "9:8", "11:1", "13:11"], "{told:#?}");
    assert_eq!(told[3], "11:1 duplicate key: keep one of them");
}

#[test]
fn a_service_without_an_address_still_has_its_name_checked() {
    let told = told("[[service]]\nname = \"a b\"\n[[service]]\nname = \"a b\"\naddress = \"x\"\n");
    let places: Vec<_> = told.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(places, ["3:1", "4:8", "6:8", "6:8", "7:11"], "{told:#?}");
}

#[test]
fn every_error_of_syntax_is_told() {
    let told = told("[[service]]\nname = web\naddress = 192.0.2.10:80\n");
    let lines: Vec<_> = told.iter().map(|line| line.split(':').next().unwrap()).collect();
    assert!(lines.contains(&"4") && lines.contains(&"5"), "{told:#?}");
}

#[test]
fn a_terminal_gets_no_control_characters_of_the_file() {
    let text = "[daemon]\ninterfaces = [\"\\u001b[31m\"]\n\"\\u001b]0;x\\u0007\" = 1\n";
    let shown = parse(Path::new("f"), text).unwrap_err().to_string();
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{7}'), "{shown:?}");
}
