//! One file over HTTP, continued where an earlier attempt stopped.

use crate::{Error, Result};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};

/// How far a download is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Name of the file.
    pub file: String,
    /// Bytes that have arrived, earlier attempts included.
    pub done: u64,
    /// Bytes of the whole file, if the server says so.
    pub total: Option<u64>,
}

/// Attempts that get no further before a server is given up.
const TRIES: u32 = 3;
/// Bytes that must arrive within [`WINDOW`], and with each attempt that is to count as one that gets further.
const LEAST: u64 = 1024;
const WINDOW: Duration = if cfg!(test) { Duration::from_millis(500) } else { Duration::from_secs(60) };
/// Pause before the second attempt; it doubles.
const PAUSE: Duration = Duration::from_millis(200);

fn settings() -> ureq::config::ConfigBuilder<ureq::typestate::AgentScope> {
    Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .timeout_per_read(Some(Duration::from_secs(60)))
        .user_agent(concat!("genus/", env!("CARGO_PKG_VERSION")))
}

/// The client that downloads use; honours the proxy variables of the environment.
pub(super) fn agent() -> Agent {
    settings().build().into()
}

/// A client that goes straight to the server.
#[cfg(test)]
pub(super) fn direct_agent() -> Agent {
    settings().proxy(None).build().into()
}

/// What came of one attempt.
enum Attempt {
    Complete,
    /// The connection failed or ended early.
    Broken(String),
    /// The server says no; asking again will not help.
    Refused(String),
    /// What is there already cannot be continued.
    Restart,
}

/// Downloads `url` to `part`, continuing what `part` holds already. The inner error says why the server was
/// given up; `part` then keeps what has arrived.
///
/// # Errors
/// [`Error::Io`] if `part` cannot be written.
pub(super) fn download(
    agent: &Agent,
    url: &str,
    part: &Path,
    cap: u64,
    progress: &mut dyn FnMut(Progress),
) -> Result<Result<(), String>> {
    let name = url.rsplit('/').next().unwrap_or(url);
    let mut report = |done, total| progress(Progress { file: name.to_owned(), done, total });
    let (mut furthest, mut failures) = (0, 0);
    loop {
        let reason = match attempt(agent, url, part, cap, &mut report)? {
            Attempt::Complete => return Ok(Ok(())),
            Attempt::Refused(reason) => return Ok(Err(reason)),
            Attempt::Broken(reason) => reason,
            Attempt::Restart => {
                std::fs::remove_file(part).map_err(Error::io("remove", part))?;
                "the server could not continue the download".into()
            }
        };
        let have = length(part);
        // Only what goes well beyond the furthest point counts, or a server that always starts anew, or gives a byte
        // each time, would be asked forever.
        failures = if have >= furthest + LEAST { 1 } else { failures + 1 };
        furthest = furthest.max(have);
        if failures >= TRIES {
            return Ok(Err(reason));
        }
        sleep(PAUSE * 2u32.pow(failures - 1));
    }
}

fn length(part: &Path) -> u64 {
    part.metadata().map_or(0, |m| m.len())
}

fn attempt(
    agent: &Agent,
    url: &str,
    part: &Path,
    cap: u64,
    report: &mut impl FnMut(u64, Option<u64>),
) -> Result<Attempt> {
    let have = length(part);
    let mut request = agent.get(url);
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
    }
    let response = match request.call() {
        Ok(response) => response,
        Err(e) => return Ok(Attempt::Broken(e.to_string())),
    };
    let start = match response.status() {
        StatusCode::OK => 0,
        StatusCode::PARTIAL_CONTENT if have > 0 && starts_at(&response) == Some(have) => have,
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => {
            return Ok(Attempt::Restart);
        }
        status => return Ok(Attempt::Refused(format!("HTTP status {status}"))),
    };
    let total = response.body().content_length().map(|n| start + n);
    if total.is_some_and(|t| t > cap) {
        return Ok(Attempt::Refused(format!("more than the {cap} bytes that this file can have")));
    }
    let file = if start > 0 { OpenOptions::new().append(true).open(part) } else { File::create(part) };
    let file = file.map_err(Error::io("write", part))?;
    receive(response.into_body(), file, part, start..cap, total, report)
}

/// Copies the body to the end of `file`, which holds `range.start` bytes and may grow to `range.end`.
fn receive(
    body: Body,
    mut file: File,
    part: &Path,
    range: std::ops::Range<u64>,
    total: Option<u64>,
    report: &mut impl FnMut(u64, Option<u64>),
) -> Result<Attempt> {
    let mut body = body.into_reader();
    let mut done = range.start;
    let mut buffer = vec![0; 1 << 16];
    report(done, total);
    let (mut since, mut before) = (Instant::now(), done);
    loop {
        if since.elapsed() >= WINDOW {
            if done - before < LEAST {
                let seconds = since.elapsed().as_secs_f64();
                let message =
                    format!("only {} bytes arrived in {seconds:.0} s; try again later", done - before);
                return Ok(Attempt::Refused(message));
            }
            (since, before) = (Instant::now(), done);
        }
        let n = match body.read(&mut buffer) {
            Ok(n) => n,
            Err(e) => return Ok(Attempt::Broken(format!("the connection broke after {done} bytes ({e})"))),
        };
        if n == 0 {
            break;
        }
        done += n as u64;
        if done > range.end {
            return Ok(Attempt::Refused(format!(
                "more than the {} bytes that this file can have",
                range.end
            )));
        }
        file.write_all(&buffer[..n]).map_err(Error::io("write", part))?;
        report(done, total);
    }
    match total {
        Some(total) if done < total => {
            Ok(Attempt::Broken(format!("the connection ended after {done} of {total} bytes")))
        }
        _ => Ok(Attempt::Complete),
    }
}

/// The first byte that a partial response holds.
fn starts_at(response: &Response<Body>) -> Option<u64> {
    let range = response.headers().get("content-range")?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}
