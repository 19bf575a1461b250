//! Against a server on the loopback interface; nothing here goes further.

use super::*;
use crate::data::fetch::sets::Content;
use crate::digest::hex;
use sha2::{Digest as _, Sha256};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread::{self, JoinHandle};

/// What the server does with one connection.
#[derive(Clone)]
enum Reply {
    /// The content from where the request wants it, cut after so many bytes of body.
    Ranges(Option<usize>),
    /// The whole content whatever the request wants.
    Whole,
    /// Other bytes of the same length.
    Other,
    NotFound,
    /// 416, as for a range beyond the end.
    NoSuchRange,
    /// Claims to be longer than any such file.
    Huge,
    /// A byte at a time, far apart.
    Slow,
}

/// Serves `content` once per reply; gives the base URL and a handle on the request heads.
fn serve(content: Vec<u8>, replies: Vec<Reply>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let handle = thread::spawn(move || {
        replies
            .into_iter()
            .map(|reply| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = String::new();
                let mut lines = BufReader::new(stream.try_clone().unwrap());
                while lines.read_line(&mut head).unwrap() > 2 {}
                let from: usize = head
                    .lines()
                    .find_map(|l| {
                        l.to_lowercase().strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok()
                    })
                    .unwrap_or(0);
                let plain = |status: &str, n: usize| {
                    format!("HTTP/1.1 {status}\r\nContent-Length: {n}\r\nConnection: close\r\n\r\n")
                };
                let (top, body) = match reply {
                    Reply::Ranges(cut) => {
                        let rest = &content[from..];
                        let top = match from {
                            0 => plain("200 OK", rest.len()),
                            _ => plain("206 Partial Content", rest.len()).replacen(
                                "\r\n",
                                &format!(
                                    "\r\nContent-Range: bytes {from}-{}/{}\r\n",
                                    content.len() - 1,
                                    content.len()
                                ),
                                1,
                            ),
                        };
                        (top, rest[..cut.unwrap_or(rest.len()).min(rest.len())].to_vec())
                    }
                    Reply::Whole => (plain("200 OK", content.len()), content.clone()),
                    Reply::Other => (plain("200 OK", content.len()), vec![b'x'; content.len()]),
                    Reply::NotFound => (plain("404 Not Found", 0), Vec::new()),
                    Reply::NoSuchRange => (plain("416 Range Not Satisfiable", 0), Vec::new()),
                    Reply::Slow => (plain("200 OK", content.len()), Vec::new()),
                    Reply::Huge => (plain("200 OK", 1 << 40), vec![0; 10]),
                };
                // The client may hang up on what it refuses.
                let _ = stream.write_all(top.as_bytes()).and_then(|()| stream.write_all(&body));
                if matches!(reply, Reply::Slow) {
                    let mut drops = content.iter().take(100);
                    while drops.next().is_some_and(|b| stream.write_all(&[*b]).is_ok()) {
                        thread::sleep(std::time::Duration::from_millis(50));
                    }
                }
                head
            })
            .collect()
    });
    (base, handle)
}

/// Content of the example set: 5000 bytes, not compressed.
fn content() -> Vec<u8> {
    (0..5000u32).map(|i| (i * i % 251) as u8).collect()
}

fn example(sha256: &'static str) -> Set {
    let file = File { name: "a.bin", content: Content::Bytes, bytes: 5000, sha256 };
    Set { name: "example", urls: &["http://127.0.0.1:9/unused/"], files: Box::leak(Box::new([file])) }
}

fn hash() -> &'static str {
    hex(&Sha256::digest(content())).leak()
}

/// Runs a download against the replies; gives the result, the requests and the progress seen.
fn run(dir: &Path, replies: Vec<Reply>) -> (Result<PathBuf>, Vec<String>, Vec<Progress>) {
    let (base, server) = serve(content(), replies);
    let mut seen = Vec::new();
    let result = get_set(&example(hash()), Some(&base), dir, &http::direct_agent(), &mut |p| seen.push(p));
    (result, server.join().unwrap(), seen)
}

fn names(dir: &Path) -> Vec<String> {
    let mut all: Vec<String> = fs::read_dir(dir.join("example"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    all.sort();
    all
}

#[test]
fn a_file_is_downloaded_checked_and_not_fetched_again() {
    let dir = tempfile::tempdir().unwrap();
    let (result, requests, seen) = run(dir.path(), vec![Reply::Ranges(None)]);
    let folder = result.unwrap();
    assert_eq!(fs::read(folder.join("a.bin")).unwrap(), content());
    assert!(requests[0].starts_with("GET /example/a.bin "), "{requests:?}");
    assert_eq!(seen.last().unwrap(), &Progress { file: "a.bin".into(), done: 5000, total: Some(5000) });
    let (again, requests, _) = run(dir.path(), vec![]);
    assert!(again.is_ok() && requests.is_empty());
    assert_eq!(names(dir.path()), ["a.bin"]);
}

#[test]
fn gzip_on_the_way_does_not_matter() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&content()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (base, server) = serve(packed.finish().unwrap(), vec![Reply::Whole]);
    get_set(&example(hash()), Some(&base), dir.path(), &http::direct_agent(), &mut |_| {}).unwrap();
    server.join().unwrap();
    assert_eq!(names(dir.path()), ["a.bin"]);
}

#[test]
fn a_broken_connection_is_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let replies = vec![Reply::Ranges(Some(2000)), Reply::Ranges(Some(1000)), Reply::Ranges(None)];
    let (result, requests, _) = run(dir.path(), replies);
    assert_eq!(fs::read(result.unwrap().join("a.bin")).unwrap(), content());
    assert!(requests[1].to_lowercase().contains("range: bytes=2000-"), "{requests:?}");
    assert!(requests[2].to_lowercase().contains("range: bytes=3000-"), "{requests:?}");
}

#[test]
fn an_earlier_part_is_continued_or_started_anew() {
    let part = |dir: &Path, bytes: &[u8]| {
        fs::create_dir_all(dir.join("example")).unwrap();
        fs::write(dir.join("example/a.bin.part"), bytes).unwrap();
    };
    // Continued; ignored by the server; longer than the file; from another file altogether.
    for (bytes, replies) in [
        (content()[..1234].to_vec(), vec![Reply::Ranges(None)]),
        (content()[..1234].to_vec(), vec![Reply::Whole]),
        (vec![0; 9000], vec![Reply::NoSuchRange, Reply::Ranges(None)]),
        (vec![0; 1234], vec![Reply::Ranges(None), Reply::Ranges(None)]),
    ] {
        let dir = tempfile::tempdir().unwrap();
        part(dir.path(), &bytes);
        let (result, _, _) = run(dir.path(), replies);
        assert_eq!(fs::read(result.unwrap().join("a.bin")).unwrap(), content());
        assert_eq!(names(dir.path()), ["a.bin"]);
    }
}

#[test]
fn wrong_content_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (result, _, _) = run(dir.path(), vec![Reply::Other]);
    let e = result.unwrap_err().to_string();
    assert!(e.contains("SHA-256 differs") && e.contains(MIRROR), "{e}");
    assert!(names(dir.path()).is_empty());
    let (result, _, _) = run(dir.path(), vec![Reply::Huge]);
    assert!(result.unwrap_err().to_string().contains("bytes that this file can have"));
}

/// A byte now and then, or with each attempt, is no download.
#[test]
fn slow_servers_are_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let (result, _, _) = run(dir.path(), vec![Reply::Slow]);
    let e = result.unwrap_err().to_string();
    assert!(e.contains("bytes arrived in") && e.contains(MIRROR), "{e}");
    let dir = tempfile::tempdir().unwrap();
    let (result, requests, _) = run(dir.path(), (1..=3).map(|n| Reply::Ranges(Some(n))).collect());
    assert!(result.is_err() && requests.len() == 3);
}

/// The first downloads, the others wait and find it done.
#[test]
fn downloads_into_one_folder_wait_for_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let (base, server) = serve(content(), vec![Reply::Whole]);
    thread::scope(|s| {
        let get = || get_set(&example(hash()), Some(&base), dir.path(), &http::direct_agent(), &mut |_| {});
        let all: Vec<_> = (0..4).map(|_| s.spawn(get)).collect();
        all.into_iter().for_each(|one| assert!(one.join().unwrap().is_ok()));
    });
    assert_eq!(server.join().unwrap().len(), 1);
    assert_eq!(names(dir.path()), ["a.bin"]);
}

#[test]
fn refusals_name_the_address_and_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let (result, _, _) = run(dir.path(), vec![Reply::NotFound]);
    let e = result.unwrap_err().to_string();
    assert!(e.contains("http://127.0.0.1") && e.contains("/example/a.bin") && e.contains("404"), "{e}");
    assert!(e.contains(MIRROR), "{e}");
    let e = get("adult", dir.path(), &mut |_| {}).unwrap_err().to_string();
    assert!(e.contains("adult.npz") && e.contains("binarized-mnist"), "{e}");
}

#[test]
fn every_downloadable_set_is_in_the_catalogue() {
    for set in &SETS {
        assert_eq!(catalogue::entry(set.name).map(|e| e.kind), Some(catalogue::Kind::Download));
        assert!(set.files.iter().all(|f| f.sha256.len() == 64) && !set.urls.is_empty());
    }
}
