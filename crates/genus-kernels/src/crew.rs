//! Parallel loops that begin and end within a microsecond or two.
//!
//! A training step consists of dozens of loops of some ten to some hundred microseconds. A worker of a general thread pool falls
//! asleep between two of them, and waking it costs as much as the loop. The workers here wait for the next loop by spinning, and
//! sleep only when none has come for a while. Jobs are handed out one at a time; who does which job shows in no result.
//!
//! The number of threads is that of the rayon pool of the caller. A loop within a loop, or while another thread runs one, is
//! done by its caller alone.

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Condvar, Mutex, PoisonError, TryLockError};
use std::time::{Duration, Instant};

/// How long a worker spins for the next loop.
const PATIENCE: Duration = Duration::from_micros(200);

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

/// Does `run(0)` … `run(jobs - 1)`, each once, in any order, on all threads.
pub(crate) fn each(jobs: usize, run: &(dyn Fn(usize) + Sync)) {
    let helpers = rayon::current_num_threads().min(jobs).saturating_sub(1);
    let turn = match CREW.turn.try_lock() {
        Ok(turn) => Some(turn),
        // A loop that panicked left everything in order.
        Err(TryLockError::Poisoned(turn)) => Some(turn.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    };
    let Some(mut workers) = turn.filter(|_| helpers > 0) else { return (0..jobs).for_each(run) };
    while *workers < helpers {
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
        while self.state.load(SeqCst) & (CLOSED - 1) != 0 {
            std::hint::spin_loop();
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
            for _ in 0..64 {
                let state = self.state.load(SeqCst);
                if state & CLOSED == 0
                    && state / EPOCH != seen
                    && self.state.compare_exchange(state, state + 1, SeqCst, SeqCst).is_ok()
                {
                    return state / EPOCH;
                }
                std::hint::spin_loop();
            }
            if since.elapsed() > PATIENCE {
                let bed = self.bed.lock().unwrap_or_else(PoisonError::into_inner);
                self.sleepers.fetch_add(1, SeqCst);
                // Whoever opens a loop after this line sees the sleeper; what was opened before it is seen here.
                let state = self.state.load(SeqCst);
                if state & CLOSED != 0 || state / EPOCH == seen {
                    drop(self.bell.wait(bed));
                }
                self.sleepers.fetch_sub(1, SeqCst);
                since = Instant::now();
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
    assert!(slices.iter().all(|(s, width)| s.len() == count * width), "slices of as many rows");
    if count <= block {
        if count > 0 {
            run(0, slices.map(|(s, _)| s));
        }
        return;
    }
    let starts = slices.map(|(s, width)| (Start(s.as_mut_ptr()), width));
    each(count.div_ceil(block), &|job| {
        let (at, n) = (job * block, block.min(count - job * block));
        // SAFETY: blocks do not overlap, and each is handed to one job only.
        let piece = |(s, width): &(Start<T>, usize)| unsafe {
            std::slice::from_raw_parts_mut(s.0.add(at * width), n * width)
        };
        run(job, starts.each_ref().map(piece));
    });
}

/// Start of a slice that jobs share without overlapping.
struct Start<T>(*mut T);
// SAFETY: see `rows`.
unsafe impl<T: Send> Sync for Start<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(threads: usize) -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
    }

    /// Many short loops, with pauses in which workers fall asleep: every job once.
    #[test]
    fn every_job_is_done_once() {
        for threads in [1, 2, 4] {
            pool(threads).install(|| {
                for round in 0..2000 {
                    let jobs = round % 37;
                    let done: Vec<AtomicUsize> = (0..jobs).map(|_| AtomicUsize::new(0)).collect();
                    each(jobs, &|j| {
                        done[j].fetch_add(1, SeqCst);
                    });
                    assert!(done.iter().all(|d| d.load(SeqCst) == 1));
                    if round % 500 == 0 {
                        std::thread::sleep(2 * PATIENCE);
                    }
                }
            });
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
