//! Settings as TOML: for a new file and for places in an existing one alike.
//!
//! One function for each section writes into a table what differs from a state that the table
//! already has. A new table has the defaults, so they are left out.
use std::time::Duration;

use lvs_model::{
    desired::{
        Check, Desired, Drain, Probe, Protocol, Server, ServerCheck, Service, Stray, Timeouts,
    },
    duration::{format_duration, parse_duration},
    words::{Word, flag_words},
};
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, TableLike, Value};

use crate::{
    config::Config,
    daemon::Daemon,
    date,
    settings::{
        ADDRESS, CHECK, CONNECTIONS, DAEMON, DRAIN, ESTABLISHED, FALL, FIN, FLAGS, FORMAT, FORWARD,
        HOST, INTERFACES, INTERVAL, Key, LEVEL, LOG, NAME, ON_FAILURE, PATH, PIN_DIR, PORT,
        PROTOCOL, RISE, SCHEDULER, SERVER, SERVERS, SERVICE, SERVICES, SOCKET, STATE, STATUS,
        STRAY, TIMEOUT, TIMEOUTS, TYPE, UDP, WEIGHT, XDP_MODE,
    },
};

/// A file that says what a configuration says; [`crate::parse`] reads the same from it.
pub fn to_toml(config: &Config) -> String {
    let mut document = DocumentMut::new();
    let daemon = daemon_table(&config.daemon, &config.desired);
    document.insert(DAEMON.name, Item::Table(daemon));
    add_services(&mut document, &config.desired);
    document.to_string()
}

/// The services alone, without `[daemon]`.
pub fn services_to_toml(desired: &Desired) -> String {
    let mut document = DocumentMut::new();
    add_services(&mut document, desired);
    document.to_string()
}

fn add_services(document: &mut DocumentMut, desired: &Desired) {
    let services: ArrayOfTables = desired.services.iter().map(service_table).collect();
    if !services.is_empty() {
        document.insert(SERVICE.name, Item::ArrayOfTables(services));
    }
}

fn daemon_table(daemon: &Daemon, desired: &Desired) -> Table {
    let default = Daemon::new(daemon.interfaces.clone(), desired);
    let mut table = Table::new();
    put(&mut table, &INTERFACES, daemon.interfaces.iter().collect::<Array>());
    let mut put_changed = |key, changed, value: Value| {
        if changed {
            put(&mut table, key, value);
        }
    };
    let text = |path: &std::path::Path| Value::from(path.to_string_lossy().into_owned());
    put_changed(&XDP_MODE, daemon.xdp_mode != default.xdp_mode, daemon.xdp_mode.word().into());
    let connections = daemon.connections;
    put_changed(&CONNECTIONS, connections != default.connections, i64::from(connections).into());
    for (key, room) in [(&SERVICES, daemon.services), (&SERVERS, daemon.servers)] {
        put_changed(key, room.least().is_none(), i64::from(room.new_tables()).into());
    }
    put_changed(&SOCKET, daemon.socket != default.socket, text(&daemon.socket));
    put_changed(&PIN_DIR, daemon.pin_dir != default.pin_dir, text(&daemon.pin_dir));
    let mut log = InlineTable::new();
    if daemon.log.level != default.log.level {
        put(&mut log, &LEVEL, daemon.log.level.word());
    }
    if daemon.log.format != default.log.format {
        put(&mut log, &FORMAT, daemon.log.format.word());
    }
    put_changed(&LOG, !log.is_empty(), log.into());
    table
}

/// A new service with its servers.
pub(crate) fn service_table(service: &Service) -> Table {
    let mut table = Table::new();
    put(&mut table, &NAME, service.name.as_str());
    put(&mut table, &ADDRESS, service.key.address.to_string());
    if service.key.protocol != Protocol::Tcp {
        put(&mut table, &PROTOCOL, service.key.protocol.word());
    }
    let blank = Service::new(service.name.clone(), service.key);
    write_service(&mut table, &blank, service);
    let servers: ArrayOfTables = service.servers.iter().map(server_table).collect();
    if !servers.is_empty() {
        table.insert(SERVER.name, Item::ArrayOfTables(servers));
    }
    table
}

/// A new server.
pub(crate) fn server_table(server: &Server) -> Table {
    let mut table = Table::new();
    put(&mut table, &ADDRESS, server.address.to_string());
    write_server(&mut table, &Server::new(server.address), server);
    table
}

/// Makes a table that says `before` say `after`; servers are not looked at.
pub(crate) fn write_service(table: &mut dyn TableLike, before: &Service, after: &Service) {
    if before.scheduler != after.scheduler {
        put(table, &SCHEDULER, after.scheduler.word());
    }
    let flags = |service: &Service| flag_words(service.scheduler, service.scheduler_flags);
    match flags(after) {
        words if words == flags(before) => {}
        words if words.is_empty() => drop(table.remove(FLAGS.name)),
        words => put(table, &FLAGS, words.into_iter().map(Word::word).collect::<Array>()),
    }
    if before.forward != after.forward {
        put(table, &FORWARD, after.forward.word());
    }
    if before.state != after.state {
        put(table, &STATE, after.state.word());
    }
    // The default follows the scheduler, so that the same value may need another text.
    if after.stray != Stray::default_of(after.scheduler) || table.contains_key(STRAY.name) {
        put(table, &STRAY, after.stray.word());
    }
    if before.on_failure != after.on_failure {
        put(table, &ON_FAILURE, after.on_failure.word());
    }
    write_timeouts(table, &before.timeouts, &after.timeouts);
    if before.check != after.check {
        match &after.check {
            None => drop(table.remove(CHECK.name)),
            Some(check) => within(table, &CHECK, |table| write_check(table, check)),
        }
    }
}

fn write_timeouts(table: &mut dyn TableLike, before: &Timeouts, after: &Timeouts) {
    for (key, before, after) in [
        (&ESTABLISHED, before.established, after.established),
        (&FIN, before.fin, after.fin),
        (&UDP, before.udp, after.udp),
    ] {
        if before != after {
            within(table, &TIMEOUTS, |table| put_duration(table, key, after));
        }
    }
}

/// Makes a table that says `before` say `after`.
pub(crate) fn write_server(table: &mut dyn TableLike, before: &Server, after: &Server) {
    if before.weight != after.weight {
        put(table, &WEIGHT, i64::from(after.weight));
    }
    if before.forward != after.forward {
        put_or_remove(table, &FORWARD, after.forward.map(Word::word));
    }
    if before.check != after.check {
        match &after.check {
            ServerCheck::Inherit => drop(table.remove(CHECK.name)),
            ServerCheck::Off => {
                table.remove(CHECK.name);
                within(table, &CHECK, |table| put(table, &TYPE, "none"));
            }
            ServerCheck::Own(check) => within(table, &CHECK, |table| write_check(table, check)),
        }
    }
    if before.drain != after.drain {
        let value = after.drain.map(|drain| match drain {
            Drain { deadline: None } => Value::from(true),
            // The rules refuse a deadline that has no date.
            Drain { deadline: Some(deadline) } => {
                date::from_unix(deadline).map_or(Value::from(true), Value::from)
            }
        });
        put_or_remove(table, &DRAIN, value);
    }
}

/// Makes a table say what a check says, whatever it said before.
fn write_check(table: &mut dyn TableLike, check: &Check) {
    let default = Check::new(Probe::Tcp);
    put(table, &TYPE, check.probe.kind().word());
    match &check.probe {
        Probe::Tcp => {
            for key in [&PATH, &HOST, &STATUS] {
                table.remove(key.name);
            }
        }
        Probe::Http { path, host, status } => {
            let numbers: Array = status.iter().map(|status| i64::from(*status)).collect();
            put_unless_default(table, &PATH, path == "/", path.as_str());
            put_or_remove(table, &HOST, host.as_deref());
            put_unless_default(table, &STATUS, *status == [200], numbers);
        }
    }
    put_or_remove(table, &PORT, check.port.map(i64::from));
    for (key, value, default) in
        [(&INTERVAL, check.interval, default.interval), (&TIMEOUT, check.timeout, default.timeout)]
    {
        if value != default || table.contains_key(key.name) {
            put_duration(table, key, value);
        }
    }
    for (key, value, default) in
        [(&RISE, check.rise, default.rise), (&FALL, check.fall, default.fall)]
    {
        put_unless_default(table, key, value == default, i64::from(value));
    }
}

/// Edits the table at a key; it is made, inline, where there is none.
fn within(table: &mut dyn TableLike, key: &Key, edit: impl FnOnce(&mut dyn TableLike)) {
    let item = table.entry(key.name).or_insert_with(|| Item::Value(InlineTable::new().into()));
    if let Some(table) = item.as_table_like_mut() {
        edit(table);
    }
    tidy(item);
}

/// Sets the spaces of an inline table that was edited; one with lines of its own keeps them.
pub(crate) fn tidy(item: &mut Item) {
    if let Some(table) = item.as_inline_table_mut() {
        tidy_inline(table);
    }
}

/// As [`tidy`].
pub(crate) fn tidy_inline(table: &mut InlineTable) {
    let mut bare = table.clone();
    bare.decor_mut().clear();
    if !bare.to_string().contains(['\n', '#']) {
        table.fmt();
    }
}

/// Sets a key; where it has the value already, its text stays, else what surrounds it.
fn put(table: &mut dyn TableLike, key: &Key, value: impl Into<Value>) {
    let mut value = value.into();
    if let Some(old) = table.get_mut(key.name).and_then(Item::as_value_mut) {
        if !same(old, &value) {
            *value.decor_mut() = old.decor().clone();
            *old = value;
        }
        return;
    }
    table.insert(key.name, Item::Value(value));
}

fn put_unless_default(
    table: &mut dyn TableLike,
    key: &Key,
    is_default: bool,
    value: impl Into<Value>,
) {
    if !is_default || table.contains_key(key.name) {
        put(table, key, value);
    }
}

fn put_or_remove(table: &mut dyn TableLike, key: &Key, value: Option<impl Into<Value>>) {
    match value {
        Some(value) => put(table, key, value),
        None => drop(table.remove(key.name)),
    }
}

/// As [`put`]; "300s" is "5m" already.
fn put_duration(table: &mut dyn TableLike, key: &Key, duration: Duration) {
    let old = table.get(key.name).and_then(Item::as_str);
    if old.is_none_or(|old| parse_duration(old) != Ok(duration)) {
        put(table, key, format_duration(duration));
    }
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a.value() == b.value(),
        (Value::Integer(a), Value::Integer(b)) => a.value() == b.value(),
        (Value::Boolean(a), Value::Boolean(b)) => a.value() == b.value(),
        (Value::Datetime(a), Value::Datetime(b)) => a.value() == b.value(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        _ => false,
    }
}
