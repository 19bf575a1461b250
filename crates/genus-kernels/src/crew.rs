//! Parallel loops that begin and end within a microsecond or two.
//!
//! A training step consists of dozens of loops of some ten to some hundred microseconds. A worker of a general thread pool falls
//! asleep between two of them, and waking it costs as much as the loop. The workers here wait for the next loop by spinning, soon
//! offer the processor to others, and sleep when none has come for a while. Jobs are handed out one at a time; who does which job
//! shows in no result.
//!
//! The number of threads is that of the rayon pool of the caller, and at most that of the processors: more would wait for each
//! other. A loop within a loop, while another thread runs one, or in a forked process is done by its caller alone.

use std::any::Any;
use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError, TryLockError};
use std::thread::{available_parallelism, yield_now};
use std::time::{Duration, Instant};

/// How long a worker awaits the next loop before it sleeps.
const PATIENCE: Duration = Duration::from_micros(200);
/// How long of that it keeps the processor for itself.
const SPIN: Duration = Duration::from_micros(20);
/// Looks at the state between two looks at the clock, or two offers of the processor.
const LOOKS: usize = 64;

/// A loop at work.
#[derive(Clone, Copy)]
struct Task {
    run: &'static (dyn Fn(usize) + Sync),
    jobs: usize,
    helpers: usize,
}

struct Crew {
    /// Number of the loop, times [`EPOCH`]; [`CLOSED`] when it takes no more workers; and the workers that are in it.
    state: AtomicU64,
    task: UnsafeCell<Option<Task>>,
    /// How many jobs were asked for from the front and, times [`BACK`], from the back.
    asked: AtomicU64,
    failed: Mutex<Option<Box<dyn Any + Send>>>,
    /// Held by the caller of the loop; the number of workers there are.
    turn: Mutex<usize>,
    sleepers: AtomicUsize,
    bed: Mutex<()>,
    bell: Condvar,
}

// SAFETY: `task` is written only by the holder of `turn` while the state is closed and no worker is in the loop, and read only by
// workers that entered an open one.
unsafe impl Sync for Crew {}

const CLOSED: u64 = 1 << 15;
const EPOCH: u64 = 1 << 16;
const BACK: u64 = 1 << 32;

static CREW: Crew = Crew {
    state: AtomicU64::new(CLOSED),
    task: UnsafeCell::new(None),
    asked: AtomicU64::new(0),
    failed: Mutex::new(None),
    turn: Mutex::new(0),
    sleepers: AtomicUsize::new(0),
    bed: Mutex::new(()),
    bell: Condvar::new(),
};

/// True in a process that was forked from one with workers: they did not come along, and whoever held a lock is gone.
static FORKED: AtomicBool = AtomicBool::new(false);

/// From now on a forked process knows that it is one; false if that cannot be had.
fn watch_forks() -> bool {
    #[cfg(unix)]
    {
        extern "C" fn forked() {
            FORKED.store(true, SeqCst);
        }
        // SAFETY: all that is done between fork and return is to store to an atomic.
        unsafe { libc::pthread_atfork(None, None, Some(forked)) == 0 }
    }
    #[cfg(not(unix))]
    true
}

/// Threads of a loop, at least one.
pub(crate) fn threads() -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    let processors = *PROCESSORS.get_or_init(|| available_parallelism().map_or(1, usize::from));
    rayon::current_num_threads().clamp(1, processors)
}

/// Does `run(0)` … `run(jobs - 1)`, each once, in any order, on all threads.
pub(crate) fn each(jobs: usize, run: &(dyn Fn(usize) + Sync)) {
    each_with(threads() - 1, jobs, run);
}

/// The same, with at most so many workers.
fn each_with(helpers: usize, jobs: usize, run: &(dyn Fn(usize) + Sync)) {
    let helpers = helpers.min(jobs.saturating_sub(1));
    // More jobs than this do not fit into a half of `asked`.
    let alone = helpers == 0 || jobs >= BACK as usize / 2 || FORKED.load(SeqCst);
    let turn = match CREW.turn.try_lock() {
        _ if alone => None,
        Ok(turn) => Some(turn),
        // A loop that panicked left everything in order.
        Err(TryLockError::Poisoned(turn)) => Some(turn.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    };
    let Some(mut workers) = turn else { return (0..jobs).for_each(run) };
    while *workers < helpers {
        if *workers == 0 && !watch_forks() {
            break;
        }
        let index = *workers;
        let spawned =
            std::thread::Builder::new().name(format!("genus-{index}")).spawn(move || CREW.work(index));
        if spawned.is_err() {
            break;
        }
        *workers += 1;
    }
    CREW.run(run, jobs, helpers);
}

impl Crew {
    /// One loop; the caller holds `turn`.
    fn run(&self, run: &(dyn Fn(usize) + Sync), jobs: usize, helpers: usize) {
        // SAFETY: the lifetime is only lengthened for the workers, all of which have left before this function returns.
        let run =
            unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(run) };
        let task = Task { run, jobs, helpers };
        self.asked.store(0, SeqCst);
        // SAFETY: the state is closed and nobody is in.
        unsafe { *self.task.get() = Some(task) };
        let open = (self.state.load(SeqCst) & !CLOSED) + EPOCH;
        self.state.store(open, SeqCst);
        if self.sleepers.load(SeqCst) > 0 {
            let _bed = self.bed.lock().unwrap_or_else(PoisonError::into_inner);
            self.bell.notify_all();
        }
        let own = catch_unwind(AssertUnwindSafe(|| self.jobs(task, 1)));
        self.state.fetch_or(CLOSED, SeqCst);
        let mut looks = 0;
        while self.state.load(SeqCst) & (CLOSED - 1) != 0 {
            assert!(
                !FORKED.load(SeqCst),
                "a job forked this process, which lacks what other threads were at"
            );
            looks += 1;
            // A worker that has lost its processor needs it back.
            if looks % LOOKS == 0 && looks > 4 * LOOKS { yield_now() } else { std::hint::spin_loop() }
        }
        let theirs = self.failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(panic) = own.err().or(theirs) {
            resume_unwind(panic);
        }
    }

    /// The caller begins with the first job and workers with the last, so that loops over the same rows, one after the other,
    /// meet most of them in the cache of the same processor.
    fn jobs(&self, task: Task, from: u64) {
        loop {
            let asked = self.asked.fetch_add(from, SeqCst);
            let (front, back) = ((asked % BACK) as usize, (asked / BACK) as usize);
            if front + back >= task.jobs {
                return;
            }
            (task.run)(if from == BACK { task.jobs - 1 - back } else { front });
        }
    }

    /// The life of worker `index`.
    fn work(&self, index: usize) {
        let mut seen = 0;
        loop {
            seen = self.await_loop(seen);
            // SAFETY: this worker is in the loop, so that the task is there and stays.
            let task = unsafe { *self.task.get() };
            if let Some(task) = task.filter(|t| index < t.helpers)
                && let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.jobs(task, BACK)))
            {
                // What is left is not begun.
                self.asked.store(task.jobs as u64, SeqCst);
                *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
            }
            self.state.fetch_sub(1, SeqCst);
        }
    }

    /// Waits for an open loop after number `seen`, enters it, and gives its number.
    fn await_loop(&self, seen: u64) -> u64 {
        let mut since = Instant::now();
        loop {
            for _ in 0..LOOKS {
                let state = self.state.load(SeqCst);
                if state & CLOSED == 0
                    && state / EPOCH != seen
                    && self.state.compare_exchange(state, state + 1, SeqCst, SeqCst).is_ok()
                {
                    return state / EPOCH;
                }
                std::hint::spin_loop();
            }
            let waited = since.elapsed();
            if waited > PATIENCE {
                let bed = self.bed.lock().unwrap_or_else(PoisonError::into_inner);
                self.sleepers.fetch_add(1, SeqCst);
                // Whoever opens a loop after this line sees the sleeper; what was opened before it is seen here.
                let state = self.state.load(SeqCst);
                if state & CLOSED != 0 || state / EPOCH == seen {
                    drop(self.bell.wait(bed));
                }
                self.sleepers.fetch_sub(1, SeqCst);
                since = Instant::now();
            } else if waited > SPIN {
                yield_now();
            }
        }
    }
}

/// Cuts slices of equal length into chunks of `size` and does `run(index, chunks)` for each index, on all threads.
pub(crate) fn chunks<const N: usize>(
    slices: [&mut [f32]; N],
    size: usize,
    run: impl Fn(usize, [&mut [f32]; N]) + Sync,
) {
    rows(slices.map(|s| (s, 1)), size, run);
}

/// Cuts slices into blocks of `block` rows, where a row is so many values of each slice, and does `run(index, blocks)` for each
/// index, on all threads.
pub(crate) fn rows<T: Send, const N: usize>(
    slices: [(&mut [T], usize); N],
    block: usize,
    run: impl Fn(usize, [&mut [T]; N]) + Sync,
) {
    let Some(count) = slices.first().map(|(s, width)| s.len() / (*width).max(1)) else { return };
    blocks(count, slices, block, run);
}

/// Makes `count` rows of so many values for each result: `run(index, blocks)` writes them block by block, on all threads.
///
/// # Safety
/// `run` must write all values of its blocks.
pub(crate) unsafe fn make<T: Send, const N: usize>(
    count: usize,
    widths: [usize; N],
    block: usize,
    run: impl Fn(usize, [&mut [MaybeUninit<T>]; N]) + Sync,
) -> [Vec<T>; N] {
    // Lengths that overflow are refused by the allocation.
    let room = |width| Box::new_uninit_slice(count.saturating_mul(width));
    let mut made = widths.map(|width| (room(width), width));
    blocks(count, made.each_mut().map(|(room, width)| (&mut room[..], *width)), block, run);
    // SAFETY: the blocks cover all rows, and the caller promises that they are written.
    made.map(|(room, _)| unsafe { room.assume_init() }.into_vec())
}

/// As [`make`], of zeros that `run` may change.
pub(crate) fn zeros<T: Send + Copy + Default, const N: usize>(
    count: usize,
    widths: [usize; N],
    block: usize,
    run: impl Fn(usize, [&mut [T]; N]) + Sync,
) -> [Vec<T>; N] {
    // SAFETY: all values are written before `run` sees them.
    unsafe { make(count, widths, block, |i, blocks| run(i, blocks.map(zeroed))) }
}

/// Makes all values zero.
pub(crate) fn zeroed<T: Copy + Default>(x: &mut [MaybeUninit<T>]) -> &mut [T] {
    x.fill(MaybeUninit::new(T::default()));
    // SAFETY: they were just written.
    unsafe { x.assume_init_mut() }
}

/// Values as room for others.
///
/// # Safety
/// Nothing but values may be written there.
pub(crate) unsafe fn room(x: &mut [f32]) -> &mut [MaybeUninit<f32>] {
    // SAFETY: the layout is the same, and the caller promises that values stay values.
    unsafe { &mut *(std::ptr::from_mut(x) as *mut [MaybeUninit<f32>]) }
}

/// `count` rows of each slice in blocks.
fn blocks<T: Send, const N: usize>(
    count: usize,
    slices: [(&mut [T], usize); N],
    block: usize,
    run: impl Fn(usize, [&mut [T]; N]) + Sync,
) {
    let fits = |(s, width): &(&mut [T], usize)| count.checked_mul(*width) == Some(s.len());
    assert!(slices.iter().all(fits), "slices of {count} rows");
    if count <= block {
        if count > 0 {
            run(0, slices.map(|(s, _)| s));
        }
        return;
    }
    let starts = slices.map(|(s, width)| (Start(s.as_mut_ptr()), width));
    each(count.div_ceil(block), &|job| {
        let (at, n) = (job * block, block.min(count - job * block));
        // SAFETY: blocks lie within the slice and do not overlap, and each is handed to one job only.
        let piece = |(s, width): &(Start<T>, usize)| unsafe {
            std::slice::from_raw_parts_mut(s.0.add(at * width), n * width)
        };
        run(job, starts.each_ref().map(piece));
    });
}

/// Start of a slice that jobs share without overlapping.
struct Start<T>(*mut T);
// SAFETY: see `blocks`.
unsafe impl<T: Send> Sync for Start<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(threads: usize) -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
    }

    /// Many short loops, with pauses in which workers fall asleep, and with more workers than processors: every job once.
    #[test]
    fn every_job_is_done_once() {
        for helpers in [0, 1, 3, 16] {
            for round in 0..2000 {
                let jobs = round % 37;
                let done: Vec<AtomicUsize> = (0..jobs).map(|_| AtomicUsize::new(0)).collect();
                each_with(helpers, jobs, &|j| {
                    done[j].fetch_add(1, SeqCst);
                });
                assert!(done.iter().all(|d| d.load(SeqCst) == 1));
                if round % 500 == 0 {
                    std::thread::sleep(2 * PATIENCE);
                }
            }
        }
    }

    /// A pool of many threads costs no more workers than there are processors to run them.
    #[test]
    fn a_loop_is_done_by_as_many_threads_as_there_are_processors() {
        let most = available_parallelism().unwrap().get();
        pool(8 * most).install(|| {
            let seen = Mutex::new(std::collections::HashSet::new());
            each(400, &|_| {
                std::thread::sleep(Duration::from_micros(100));
                seen.lock().unwrap().insert(std::thread::current().id());
            });
            assert!((1..=most).contains(&seen.into_inner().unwrap().len()));
        });
    }

    /// Blocks of rows of two widths, with values from their places; the last block is shorter.
    #[test]
    fn results_are_made_by_rows() {
        let number = |i: usize, k: usize| (100 * i + k) as f32;
        pool(2).install(|| {
            for count in [0, 1, 4, 11] {
                let [a, b, none] = zeros(count, [3, 1, 0], 4, |i, [a, b, none]| {
                    assert!(a.iter().chain(&*b).all(|v| *v == 0.0) && none.is_empty());
                    assert_eq!(a.len(), 3 * b.len());
                    a.iter_mut().enumerate().for_each(|(k, v)| *v = number(i, k));
                    b.iter_mut().enumerate().for_each(|(k, v)| *v = -number(i, k));
                });
                let want =
                    |width: usize| (0..count * width).map(move |k| number(k / (4 * width), k % (4 * width)));
                assert!(
                    a.into_iter().eq(want(3)) && b.into_iter().eq(want(1).map(|v| -v)) && none.is_empty()
                );
            }
        });
        assert!(catch_unwind(|| zeros::<f32, 1>(usize::MAX / 2, [3], 1, |_, _| ())).is_err());
    }

    /// Forked while another thread runs loops and workers go to sleep, a process does its own loops and ends.
    #[cfg(unix)]
    #[test]
    fn a_forked_process_does_its_loops() {
        let over = AtomicBool::new(false);
        let loops = || {
            let sum = AtomicUsize::new(0);
            each_with(1, 8, &|j| {
                sum.fetch_add(j, SeqCst);
            });
            sum.into_inner()
        };
        std::thread::scope(|s| {
            s.spawn(|| {
                while !over.load(SeqCst) {
                    assert_eq!(loops(), 28);
                    std::thread::sleep(PATIENCE);
                }
            });
            for _ in 0..200 {
                std::thread::sleep(PATIENCE / 3);
                // SAFETY: the child does its loops, in which it allocates nothing, and ends; the parent waits for it.
                let status = unsafe {
                    match libc::fork() {
                        0 => {
                            libc::alarm(10);
                            libc::_exit(i32::from(loops() != 28));
                        }
                        child => {
                            let mut status = -1;
                            assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
                            status
                        }
                    }
                };
                assert_eq!(status, 0, "the child failed, or hung until the alarm");
            }
            over.store(true, SeqCst);
        });
    }

    /// What a worker was at when the caller's job forked is lost in the child, which says so.
    #[cfg(unix)]
    #[test]
    fn a_process_forked_by_a_job_does_not_wait_for_ever() {
        let (begun, child) = (AtomicBool::new(false), Mutex::new(None));
        let caller = std::thread::current().id();
        loop {
            begun.store(false, SeqCst);
            let done = catch_unwind(AssertUnwindSafe(|| {
                each_with(1, 2, &|_| {
                    if std::thread::current().id() != caller {
                        begun.store(true, SeqCst);
                        std::thread::sleep(Duration::from_millis(50));
                        return;
                    }
                    let since = Instant::now();
                    while !begun.load(SeqCst) && since.elapsed() < Duration::from_millis(50) {
                        yield_now();
                    }
                    if begun.load(SeqCst) {
                        // SAFETY: the child leaves the loop and ends, at the alarm if need be; the parent waits for it.
                        *child.lock().unwrap() = Some(unsafe {
                            let child = libc::fork();
                            if child == 0 {
                                libc::alarm(10);
                            }
                            child
                        });
                    }
                });
            }));
            let mut status = -1;
            match *child.lock().unwrap() {
                // Another test had the workers.
                None => continue,
                // SAFETY: this is the child.
                Some(0) => unsafe { libc::_exit(if done.is_err() { 7 } else { 1 }) },
                // SAFETY: this is the parent.
                Some(child) => assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child),
            }
            assert!(done.is_ok() && libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 7, "{status}");
            return;
        }
    }

    #[test]
    fn loops_within_loops_and_from_several_threads() {
        let total = AtomicUsize::new(0);
        std::thread::scope(|s| {
            for _ in 0..3 {
                s.spawn(|| {
                    (0..200).for_each(|_| {
                        each(5, &|_| {
                            each(4, &|_| {
                                total.fetch_add(1, SeqCst);
                            });
                        });
                    });
                });
            }
        });
        assert_eq!(total.load(SeqCst), 3 * 200 * 20);
    }

    /// A panic reaches the caller, and the next loop works.
    #[test]
    fn panics_reach_the_caller() {
        pool(2).install(|| {
            for bad in 0..20 {
                let caught = catch_unwind(|| each(20, &|j| assert!(j != bad, "job {j}")));
                assert!(caught.is_err());
            }
            let mut x = vec![0.0; 1000];
            chunks([&mut x], 7, |i, [c]| c.fill(i as f32));
            assert!(x.iter().enumerate().all(|(k, v)| *v == (k / 7) as f32));
        });
    }
}
