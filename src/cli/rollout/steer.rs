//! `yizhan rollout pause|resume|cancel|retry`.

use super::progress::Progress;
use crate::cli::failure::Failure;
use crate::cli::one::One;
use crate::cli::terminal::{Terminal, plain};

/// Does that to one.
pub async fn steer(terminal: &Terminal, one: One, verb: &'static str) -> Result<(), Failure> {
    let id = one.id.clone();
    let answer = one.ask("rollouts", verb).await?;
    if terminal.json {
        return Ok(terminal.json(&answer)?);
    }
    terminal.data(plain(&match Progress::read(&answer) {
        Ok(progress) => format!("{id}: {}", progress.headline()),
        Err(_) => format!("{id}: {verb} done"),
    }))?;
    Ok(())
}
