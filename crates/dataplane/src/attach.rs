//! Attaches the program to interfaces.
use std::{
    fmt, io,
    os::fd::{AsFd as _, BorrowedFd},
};

use crate::{error::Error, pins::Pins, sys};

/// How the program is attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// In the driver where it can, else generic, with a warning.
    #[default]
    Auto,
    /// In the driver, or not at all.
    Native,
    /// In the network stack: slower, with every driver.
    Generic,
}

/// An interface with the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Its name.
    pub name: String,
    /// Its number.
    pub index: u32,
    /// Whether the program runs in the driver.
    pub native: bool,
}

/// What the operator should know, although it works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The driver of an interface has no XDP.
    Generic {
        /// The interface.
        interface: String,
        /// What the kernel said.
        reason: String,
    },
    /// The tables of the predecessor have another layout: its connections and counters are lost.
    OtherLayout,
    /// The capacity was changed, so the predecessor's connections and counters are lost.
    OtherCapacity,
    /// The predecessor's tables are not complete: its connections and counters are lost.
    Incomplete,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lost = "connections and counters of the running data plane are lost";
        match self {
            Self::Generic { interface, reason } => write!(
                f,
                "the driver of `{interface}` cannot run the program ({reason}): \
                 the network stack does, at a lower speed"
            ),
            Self::OtherLayout => write!(f, "this version has other tables: {lost}"),
            Self::OtherCapacity => write!(f, "the capacity was changed: {lost}"),
            Self::Incomplete => write!(f, "the pinned tables are not complete: {lost}"),
        }
    }
}

/// Checks that all interfaces exist.
pub(crate) fn indices(names: &[String]) -> Result<Vec<(String, u32)>, Error> {
    let index = |name: &String| {
        let index = sys::interface(name).ok_or_else(|| Error::Interface(name.clone()))?;
        Ok((name.clone(), index))
    };
    names.iter().map(index).collect()
}

/// Has the program run on exactly these interfaces, replacing an older one between two packets.
pub(crate) fn attach_all(
    pins: &Pins,
    program: BorrowedFd<'_>,
    interfaces: Vec<(String, u32)>,
    mode: Mode,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<Attached>, Error> {
    let linked = pins.linked();
    let mut attached = Vec::new();
    for (name, index) in interfaces {
        let native = attach(pins, program, &name, index, mode, warnings)?;
        attached.push(Attached { name, index, native });
    }
    for old in linked {
        if attached.iter().all(|interface| interface.name != old) {
            pins.remove_link(&old)?;
        }
    }
    Ok(attached)
}

fn attach(
    pins: &Pins,
    program: BorrowedFd<'_>,
    name: &str,
    index: u32,
    mode: Mode,
    warnings: &mut Vec<Warning>,
) -> Result<bool, Error> {
    if let Some(native) = replace(pins, program, name, mode) {
        return Ok(native);
    }
    // The interface was made anew, the mode is another, or there was no link.
    pins.remove_link(name)?;
    let failed = |mode, source: io::Error| Error::Attach {
        interface: name.to_owned(),
        mode,
        remedy: remedy(&source),
        source,
    };
    let (native, link) = match mode {
        Mode::Native => (true, sys::attach(program, index, true).map_err(|e| failed("native", e))?),
        Mode::Generic => {
            (false, sys::attach(program, index, false).map_err(|e| failed("generic", e))?)
        }
        Mode::Auto => match sys::attach(program, index, true) {
            Ok(link) => (true, link),
            // Another program is in the way whatever the mode.
            Err(source) if source.raw_os_error() == Some(libc::EBUSY) => {
                return Err(failed("native", source));
            }
            Err(source) => {
                let link = sys::attach(program, index, false).map_err(|e| failed("generic", e))?;
                let (interface, reason) = (name.to_owned(), source.to_string());
                warnings.push(Warning::Generic { interface, reason });
                (false, link)
            }
        },
    };
    pins.put_link(name, link.as_fd(), native)?;
    Ok(native)
}

/// Puts the program into the link that a predecessor left, if that fits the mode and still works.
fn replace(pins: &Pins, program: BorrowedFd<'_>, name: &str, mode: Mode) -> Option<bool> {
    let link = pins.link(name)?;
    let native = pins.is_native(name)?;
    let fits = match mode {
        Mode::Auto => true,
        Mode::Native => native,
        Mode::Generic => !native,
    };
    (fits && sys::replace(link.as_fd(), program).is_ok()).then_some(native)
}

fn remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => "CAP_BPF and CAP_NET_ADMIN are needed: run it as root",
        Some(libc::EBUSY | libc::EEXIST) => {
            "another XDP program is attached: `ip link set dev NAME xdp off` removes it"
        }
        Some(libc::EOPNOTSUPP) => "the driver cannot: set `xdp_mode = \"generic\"`",
        Some(libc::EINVAL) => {
            "the kernel or the driver refuses it: Linux 5.9 and an MTU of at most one page are needed"
        }
        Some(libc::ENODEV) => "the interface is gone",
        _ => "set `xdp_mode = \"generic\"`, or name another interface",
    }
}
