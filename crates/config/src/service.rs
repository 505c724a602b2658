//! `[[service]]`: services, their checks and their servers.
use std::net::{Ipv6Addr, SocketAddr};

use lvs_model::{
    desired::{
        Check, CheckKind, Drain, Probe, Server, ServerCheck, Service, ServiceKey, Stray, Timeouts,
    },
    validate::{Field, MAX_DEADLINE, Rule},
    words::{FlagWord, Word, flags_from_words},
};
use toml::de::DeValue;

use crate::{
    date,
    error::Problem,
    places::{ServicePlace, SettingPlaces},
    section::{Found, Place, Report, Section, number, string, word, wrong_type},
    settings::{
        ADDRESS, CHECK, CHECK_KEYS, DRAIN, ESTABLISHED, FALL, FIN, FLAGS, FORWARD, HOST, INTERVAL,
        LATER_CHECKS, LATER_METHODS, LATER_PROTOCOLS, LATER_SCHEDULERS, NAME, ON_FAILURE, PATH,
        PORT, PROTOCOL, RISE, SCHEDULER, SERVER, SERVER_ADDRESS, SERVER_KEYS, SERVICE_KEYS, STATE,
        STATUS, STRAY, TIMEOUT, TIMEOUTS, TIMEOUTS_KEYS, TYPE, UDP, WEIGHT,
    },
    source::Span,
};

/// Reads a service. Without a name there is none, but its errors are reported.
pub(crate) fn read(section: &Section<'_>, report: &mut Report) -> Option<(Service, ServicePlace)> {
    let errors = report.0.len();
    section.refuse_unknown(&SERVICE_KEYS, report);
    let mut own = SettingPlaces::new(section.span.clone());
    let name = own.keep(Field::Name, required(section, &NAME, Section::text, report));
    let address = own.keep(Field::Address, required(section, &ADDRESS, Section::address, report));
    let protocol = section.word(&PROTOCOL, LATER_PROTOCOLS, report);
    let mut key = address.map(ServiceKey::tcp);
    if let (Some(key), Some(protocol)) = (&mut key, own.keep(Field::Protocol, protocol)) {
        key.protocol = protocol;
    }
    // The rest is read for its errors also when there is no address; the stand-in, which no service
    // has, differs from every other one, so that it takes no address from another service.
    let stand_in = || SocketAddr::from((Ipv6Addr::from_bits(section.span.start as u128), 0));
    let key = key.unwrap_or_else(|| ServiceKey::tcp(stand_in()));
    let mut service = Service::new(name.unwrap_or_default(), key);
    read_settings(section, &mut service, &mut own, report);
    own.broken = report.0.len() > errors;

    let mut places = ServicePlace { own, servers: Vec::new() };
    for section in section.sections(&SERVER, |s| Place::Server(s.peek(&SERVER_ADDRESS)), report) {
        if let Some((server, place)) = read_server(&section, report) {
            service.servers.push(server);
            places.servers.push(place);
        }
    }
    name.is_some().then_some((service, places))
}

fn required<'a, T>(
    section: &Section<'a>,
    key: &crate::settings::Key,
    read: impl FnOnce(&Section<'a>, &crate::settings::Key, &mut Report) -> Found<T>,
    report: &mut Report,
) -> Found<T> {
    section.require(key, report);
    read(section, key, report)
}

fn read_settings(
    section: &Section<'_>,
    service: &mut Service,
    own: &mut SettingPlaces,
    report: &mut Report,
) {
    let scheduler = section.word(&SCHEDULER, LATER_SCHEDULERS, report);
    let scheduler_known = scheduler.is_some() || section.value(&SCHEDULER).is_none();
    if let Some(scheduler) = own.keep(Field::Scheduler, scheduler) {
        service.scheduler = scheduler;
    }
    service.stray = Stray::default_of(service.scheduler);
    read_flags(section, scheduler_known, service, own, report);
    if let Some(forward) = own.keep(Field::Forward, section.word(&FORWARD, LATER_METHODS, report)) {
        service.forward = forward;
    }
    if let Some(state) = own.keep(Field::State, section.word(&STATE, &[], report)) {
        service.state = state;
    }
    if let Some(stray) = own.keep(Field::Stray, section.word(&STRAY, &[], report)) {
        service.stray = stray;
    }
    if let Some(policy) = own.keep(Field::OnFailure, section.word(&ON_FAILURE, &[], report)) {
        service.on_failure = policy;
    }
    if let Some(timeouts) = section.section(&TIMEOUTS, Place::Timeouts, report) {
        service.timeouts = read_timeouts(&timeouts, own, report);
    }
    if let Some(check) = section.section(&CHECK, Place::ServiceCheck, report) {
        match read_check(&check, own, report) {
            Some((ServerCheck::Own(check), _)) => service.check = Some(check),
            Some((ServerCheck::Off, _)) | None => {}
            Some((ServerCheck::Inherit, span)) => {
                report.add(Problem::ServiceOfService, span);
            }
        }
    }
}

fn read_flags(
    section: &Section<'_>,
    scheduler_known: bool,
    service: &mut Service,
    own: &mut SettingPlaces,
    report: &mut Report,
) {
    let Some((array, span)) = section.array(&FLAGS, "an array of strings", report) else {
        return;
    };
    own.fields.push((Field::SchedulerFlags, span));
    let mut words = Vec::new();
    for value in array {
        let Some((text, span)) = string(&FLAGS, value, report) else {
            continue;
        };
        let Some(flag) = word::<FlagWord>(text, &[], span.clone(), report) else {
            continue;
        };
        if flag.scheduler == service.scheduler {
            words.push(flag);
        } else if scheduler_known {
            let scheduler = service.scheduler.word();
            let remedy = Rule::Flags(service.scheduler).remedy();
            report.add(Problem::ForeignFlag { flag: flag.word(), scheduler, remedy }, span);
        }
    }
    if let Ok(flags) = flags_from_words(service.scheduler, &words) {
        service.scheduler_flags = flags;
    }
}

fn read_timeouts(section: &Section<'_>, own: &mut SettingPlaces, report: &mut Report) -> Timeouts {
    section.refuse_unknown(&TIMEOUTS_KEYS, report);
    let mut timeouts = Timeouts::default();
    for (key, field, place) in [
        (&ESTABLISHED, Field::TimeoutEstablished, &mut timeouts.established),
        (&FIN, Field::TimeoutFin, &mut timeouts.fin),
        (&UDP, Field::TimeoutUdp, &mut timeouts.udp),
    ] {
        if let Some(duration) = own.keep(field, section.duration(key, report)) {
            *place = duration;
        }
    }
    timeouts
}

/// Reads a check, and tells where its type is.
fn read_check(
    section: &Section<'_>,
    own: &mut SettingPlaces,
    report: &mut Report,
) -> Found<ServerCheck> {
    section.refuse_unknown(&CHECK_KEYS, report);
    own.fields.push((Field::Check, section.span.clone()));
    let read = |section: &Section<'_>, key: &_, report: &mut Report| {
        section.word::<CheckKind>(key, LATER_CHECKS, report)
    };
    let (kind, span) = required(section, &TYPE, read, report)?;
    let (probe, foreign): (_, &[_]) = match kind {
        CheckKind::Http => (read_http(section, own, report), &[]),
        CheckKind::Tcp => (Probe::Tcp, &[&PATH, &HOST, &STATUS]),
        CheckKind::None | CheckKind::Service => {
            (Probe::Tcp, &[&PATH, &HOST, &STATUS, &PORT, &INTERVAL, &TIMEOUT, &RISE, &FALL])
        }
    };
    for key in foreign {
        if let Some(span) = section.key_span(key) {
            report.add(Problem::NotOfCheck { key: key.name, kind: kind.word() }, span);
        }
    }
    let check = match kind {
        CheckKind::None => ServerCheck::Off,
        CheckKind::Service => ServerCheck::Inherit,
        CheckKind::Tcp | CheckKind::Http => {
            ServerCheck::Own(read_times(section, Check::new(probe), own, report))
        }
    };
    Some((check, span))
}

fn read_http(section: &Section<'_>, own: &mut SettingPlaces, report: &mut Report) -> Probe {
    let path = own.keep(Field::CheckPath, section.text(&PATH, report)).unwrap_or("/");
    let host = own.keep(Field::CheckHost, section.text(&HOST, report));
    let mut status = vec![200];
    let expected = "an array of whole numbers";
    if let Some(array) = own.keep(Field::CheckStatus, section.array(&STATUS, expected, report)) {
        let numbers = array.iter().filter_map(|value| number(&STATUS, value, 100, 599, report));
        status = numbers.collect();
    }
    Probe::Http { path: path.to_owned(), host: host.map(str::to_owned), status }
}

fn read_times(
    section: &Section<'_>,
    mut check: Check,
    own: &mut SettingPlaces,
    report: &mut Report,
) -> Check {
    check.port = own.keep(Field::CheckPort, section.number(&PORT, 1, 65535, report));
    for (key, field, place) in [
        (&INTERVAL, Field::CheckInterval, &mut check.interval),
        (&TIMEOUT, Field::CheckTimeout, &mut check.timeout),
    ] {
        if let Some(duration) = own.keep(field, section.duration(key, report)) {
            *place = duration;
        }
    }
    for (key, field, place) in
        [(&RISE, Field::CheckRise, &mut check.rise), (&FALL, Field::CheckFall, &mut check.fall)]
    {
        let number = section.number(key, 1, u64::from(u32::MAX), report);
        if let Some(number) = own.keep(field, number) {
            *place = number;
        }
    }
    check
}

fn read_server(section: &Section<'_>, report: &mut Report) -> Option<(Server, SettingPlaces)> {
    let errors = report.0.len();
    section.refuse_unknown(&SERVER_KEYS, report);
    let mut own = SettingPlaces::new(section.span.clone());
    let address = required(section, &SERVER_ADDRESS, Section::address, report);
    let address = own.keep(Field::Address, address);
    let most = u64::from(lvs_model::desired::MAX_WEIGHT);
    let weight = own.keep(Field::Weight, section.number(&WEIGHT, 0, most, report));
    let forward = own.keep(Field::Forward, section.word(&FORWARD, LATER_METHODS, report));
    let check = section.section(&CHECK, Place::ServerCheck, report);
    let check = check.and_then(|check| read_check(&check, &mut own, report));
    let drain = own.keep(Field::Drain, read_drain(section, report)).flatten();
    own.broken = report.0.len() > errors;
    let server = Server {
        weight: weight.unwrap_or(1),
        forward,
        check: check.map_or(ServerCheck::Inherit, |(check, _)| check),
        drain,
        ..Server::new(address?)
    };
    Some((server, own))
}

fn read_drain(section: &Section<'_>, report: &mut Report) -> Found<Option<Drain>> {
    let value = section.value(&DRAIN)?;
    let span: Span = value.span();
    let drain = match value.get_ref() {
        DeValue::Boolean(drain) => drain.then_some(Drain { deadline: None }),
        DeValue::Datetime(moment) => {
            let deadline = date::to_unix(moment).filter(|deadline| *deadline <= MAX_DEADLINE);
            if deadline.is_none() {
                report.add(Problem::Date, span);
                return None;
            }
            Some(Drain { deadline })
        }
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => {
            wrong_type(&DRAIN, "true, false or a date and time", value, report);
            return None;
        }
    };
    Some((drain, span))
}
