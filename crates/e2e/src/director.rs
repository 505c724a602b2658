//! The director: the daemon on it, and the client that asks it.
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use lvs_lab::{Bpffs, Lab, Namespace, Process, Site, TempDir, wait_for};
use serde_json::Value;

use crate::{programs::Programs, service::Service};

/// Longest time that the daemon needs to start, also on a busy machine.
const START: Duration = Duration::from_secs(20);

/// A machine with lvsd on it.
#[derive(Debug)]
pub struct Director {
    daemon: Option<Process>, // ends before its directories go
    namespace: Namespace,
    programs: Programs,
    interfaces: Vec<String>,
    pins: Bpffs,
    directory: TempDir,
}

/// What a run of `lvs` ended with.
#[derive(Clone, Debug)]
pub struct Output {
    /// Exit status.
    pub status: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained.
    pub stderr: String,
}

impl Director {
    /// Starts the daemon with these services and waits until every server takes connections.
    pub fn start(lab: &Lab, site: &Site, services: &[Service]) -> Result<Self> {
        let mut director = Self::new(lab, site, Programs::for_tests()?)?;
        director.write(services)?;
        director.start_daemon()?;
        director.wait_until_all_are("up")?;
        Ok(director)
    }

    /// A machine with the programs on it, without a file and without a daemon.
    pub fn new(lab: &Lab, site: &Site, programs: Programs) -> Result<Self> {
        let directory = lab.temp_dir("lvsd")?;
        let nodes = &site.topology().nodes;
        let node = nodes.iter().find(|node| node.name == "director").context("no director")?;
        Ok(Self {
            daemon: None,
            namespace: site.director()?.clone(),
            programs,
            interfaces: (0..node.ports.len()).map(|number| format!("eth{number}")).collect(),
            pins: lab.bpffs()?,
            directory,
        })
    }

    /// The configuration file.
    pub fn file(&self) -> PathBuf {
        self.directory.path().join("lvs.toml")
    }

    /// The control socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("lvsd.sock")
    }

    /// The bpf filesystem with the pinned tables.
    pub fn pins(&self) -> &Path {
        self.pins.path()
    }

    /// Writes the configuration file.
    pub fn write(&self, services: &[Service]) -> Result<()> {
        self.write_text(&self.text(services))
    }

    /// The text of a configuration file.
    pub fn text(&self, services: &[Service]) -> String {
        let services: String = services.iter().map(Service::to_string).collect();
        format!(
            "[daemon]\ninterfaces = {:?}\nconnections = 65536\nsocket = \"{}\"\npin_dir = \"{}\"\n{services}",
            self.interfaces,
            self.socket().display(),
            self.pins.path().join("lvs").display(),
        )
    }

    /// Writes the configuration file as it is given.
    pub fn write_text(&self, text: &str) -> Result<()> {
        fs::write(self.file(), text).context("write the configuration file")
    }

    /// Starts the daemon and waits until it answers.
    pub fn start_daemon(&mut self) -> Result<()> {
        let daemon = self.spawn(&[])?;
        let answers = || -> Result<Option<Result<()>>> {
            if !daemon.is_running() {
                daemon.wait_for_exit(Duration::from_secs(1))?;
                return Ok(Some(Err(anyhow::anyhow!("lvsd ended: {}", daemon.log()))));
            }
            Ok((self.try_lvs(&["status"])?.status == 0).then_some(Ok(())))
        };
        wait_for(START, "lvsd answers", answers).with_context(|| daemon.log())??;
        self.daemon = Some(daemon);
        Ok(())
    }

    /// Starts the daemon's program with more arguments and does not wait for anything.
    pub fn spawn(&self, arguments: &[&str]) -> Result<Process> {
        let mut command = Command::new(self.programs.lvsd());
        command.args(arguments).arg("-f").arg(self.file());
        command.env("NO_COLOR", "1");
        Process::start(&self.namespace, command)
    }

    /// The running daemon.
    pub fn daemon(&self) -> Result<&Process> {
        self.daemon.as_ref().context("lvsd was not started")
    }

    /// Ends the daemon as `kill -9` does.
    pub fn kill_daemon(&mut self) -> Result<()> {
        self.daemon.take().context("lvsd was not started")?.kill()
    }

    /// Ends the daemon as a service manager does.
    pub fn stop_daemon(&mut self) -> Result<()> {
        let daemon = self.daemon.take().context("lvsd was not started")?;
        let status = daemon.terminate(Duration::from_secs(10))?;
        ensure!(status.success(), "lvsd ended with {status}:\n{}", daemon.log());
        Ok(())
    }

    /// Runs `lvs`, which must succeed, and returns what it prints.
    pub fn lvs(&self, arguments: &[&str]) -> Result<String> {
        let output = self.try_lvs(arguments)?;
        ensure!(
            output.status == 0,
            "lvs {} failed with status {}: {}",
            arguments.join(" "),
            output.status,
            output.stderr.trim()
        );
        Ok(output.stdout)
    }

    fn lvs_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.programs.lvs());
        command.arg("--socket").arg(self.socket()).args(arguments).env("NO_COLOR", "1");
        command
    }

    /// Starts `lvs` and does not wait for its end.
    pub fn spawn_lvs(&self, arguments: &[&str]) -> Result<Process> {
        Process::start(&self.namespace, self.lvs_command(arguments))
    }

    /// Runs `lvs`, which may fail.
    pub fn try_lvs(&self, arguments: &[&str]) -> Result<Output> {
        let output = self.lvs_command(arguments).output().context("run lvs")?;
        Ok(Output {
            status: output.status.code().context("lvs was killed")?,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs `lvs -o json` and returns what it prints.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.lvs(&[&["-o", "json"], arguments].concat())?;
        serde_json::from_str(&text).with_context(|| format!("read the answer {text}"))
    }

    /// The state of a server in one word, as `lvs server list` tells it.
    pub fn state(&self, service: &str, server: SocketAddr) -> Result<String> {
        let row = self.server(service, server)?;
        Ok(row.text("state")?.to_owned())
    }

    /// A server, as `lvs -o json server list` tells it.
    pub fn server(&self, service: &str, server: SocketAddr) -> Result<Value> {
        let rows = self.json(&["server", "list", service])?;
        let rows = rows.as_array().context("a list of servers")?;
        let address = server.to_string();
        let row = rows.iter().find(|row| row.text("address").is_ok_and(|text| text == address));
        row.cloned().with_context(|| format!("{service} has no server {server}"))
    }

    /// Waits until a server is in a state.
    pub fn wait_for_state(
        &self,
        service: &str,
        server: SocketAddr,
        state: &str,
        deadline: Duration,
    ) -> Result<()> {
        wait_for(deadline, &format!("{server} of {service} is {state}"), || {
            let is = self.state(service, server)?;
            if is == state {
                return Ok(Some(()));
            }
            bail!("it is {is}")
        })
    }

    /// Waits until all servers of all services are in a state.
    pub fn wait_until_all_are(&self, state: &str) -> Result<()> {
        let all = || {
            let rows = self.json(&["server", "list"])?;
            let rows = rows.as_array().context("a list of servers")?;
            match rows.iter().find(|row| row.text("state").is_ok_and(|text| text != state)) {
                None => Ok(Some(())),
                Some(row) => bail!("{row}"),
            }
        };
        wait_for(START, &format!("all servers are {state}"), all)
    }
}

/// Fields of an answer in JSON.
pub trait Fields {
    /// A field that is a text.
    fn text(&self, name: &str) -> Result<&str>;
    /// A field that is a whole number.
    fn number(&self, name: &str) -> Result<u64>;
}

impl Fields for Value {
    fn text(&self, name: &str) -> Result<&str> {
        let field = self.get(name).and_then(Value::as_str);
        field.with_context(|| format!("no text named {name} in {self}"))
    }

    fn number(&self, name: &str) -> Result<u64> {
        let field = self.get(name).and_then(Value::as_u64);
        field.with_context(|| format!("no number named {name} in {self}"))
    }
}
