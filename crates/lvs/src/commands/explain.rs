//! `lvs explain`
use std::net::SocketAddr;

use lvs_api::types::Question;
use lvs_model::{desired::Protocol, words::Word};

use super::Context;
use crate::{
    error::CliError,
    output::{Format, Paint},
    words::word,
};

/// Tells which server a new connection would get, and why.
///
/// The answer comes from the code that the kernel runs, over the tables that it uses.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lvs explain --from 198.51.100.7:40000 --to 192.0.2.10:80
  lvs explain --from '[2001:db8::7]:5353' --to '[2001:db8::53]:53' --protocol udp")]
pub(crate) struct Explain {
    /// The client.
    #[arg(long, value_name = "ADDRESS:PORT")]
    from: SocketAddr,
    /// What it connects to.
    #[arg(long, value_name = "ADDRESS:PORT")]
    to: SocketAddr,
    /// Transport protocol.
    #[arg(short, long, default_value = "tcp", value_parser = word::<Protocol>())]
    protocol: Protocol,
}

impl Explain {
    pub(crate) fn run(self, context: &mut Context) -> Result<(), CliError> {
        let Self { from, to, protocol } = self;
        let explained = context.client.explain(&Question { from, to, protocol })?;
        if context.out.format() == Format::Json {
            return Ok(context.out.json(&explained)?);
        }
        context.out.line(format_args!("{} {from} -> {to}", protocol.word()))?;
        for (number, step) in (1..).zip(&explained.steps) {
            context.out.line(format_args!("  {number}. {step}"))?;
        }
        let end = match (&explained.server, explained.forward) {
            (Some(server), Some(method)) => {
                let text = format!("server {server}, {}", method.word());
                context.out.paint(&text, Paint::Good)
            }
            _ => context.out.paint(&explained.verdict, Paint::Notable),
        };
        Ok(context.out.line(format_args!("=> {end}"))?)
    }
}
