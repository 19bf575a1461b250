//! A request to end, heard by every loop that can last a second.
//!
//! Whoever starts some work makes a [`Stop`], keeps a clone, and lets the work run [`during`](Stop::during) it. Loops take
//! [`Stop::current`] once, before they begin and before they go to other threads, and call [`check`](Stop::check) at every turn
//! that may take more than some milliseconds; the error goes up like any other. A request may come from a signal, from another
//! thread, from an observer, or from a budget of time that is used up.

use crate::{Error, Result, StopReason};
use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// A request to end that may be made at any time. Clones are the same request.
#[derive(Debug, Clone, Default)]
#[doc(alias = "cancel")]
#[doc(alias = "cancellation")]
pub struct Stop(Arc<Request>);

#[derive(Debug, Default)]
struct Request {
    /// Index in [`REASONS`], from 1; 0 while nobody asked.
    reason: AtomicU8,
    deadline: Option<Instant>,
    /// A request that is heard here too.
    parent: Option<Stop>,
}

const REASONS: [StopReason; 4] =
    [StopReason::Completed, StopReason::EarlyStopping, StopReason::TimeBudget, StopReason::Interrupted];

thread_local! {
    static CURRENT: RefCell<Stop> = RefCell::default();
}

impl Stop {
    /// One that nobody has asked for yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// That of the work which this thread does; one that nobody asks for, outside of any.
    pub fn current() -> Self {
        CURRENT.with_borrow(Clone::clone)
    }

    /// A request of its own that hears this one as well.
    #[must_use]
    pub fn child(&self) -> Self {
        Self(Arc::new(Request { parent: Some(self.clone()), ..Request::default() }))
    }

    /// A [`child`](Self::child) that also ends when so much time has passed.
    #[must_use]
    pub fn within(&self, budget: Duration) -> Self {
        let deadline = Instant::now().checked_add(budget);
        Self(Arc::new(Request { deadline, parent: Some(self.clone()), ..Request::default() }))
    }

    /// A [`child`](Self::child) that ends when this share of the time that is left has passed, if time is limited.
    #[must_use]
    pub fn share(&self, share: f64) -> Self {
        match self.left() {
            Some(left) => self.within(left.mul_f64(share)),
            None => self.child(),
        }
    }

    /// Time until the earliest deadline; none if there is none.
    pub fn left(&self) -> Option<Duration> {
        let own = self.0.deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let above = self.0.parent.as_ref().and_then(Self::left);
        own.into_iter().chain(above).min()
    }

    /// Asks the work to end. The first reason counts, but an interruption is heard at any time.
    pub fn request(&self, reason: StopReason) {
        let number = 1 + REASONS.iter().position(|r| *r == reason).unwrap_or_default() as u8;
        let free = self.0.reason.compare_exchange(0, number, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if !free && reason == StopReason::Interrupted {
            self.0.reason.store(number, Ordering::SeqCst);
        }
    }

    /// Why the work is to end, if it is.
    pub fn reason(&self) -> Option<StopReason> {
        let above = self.0.parent.as_ref().and_then(Self::reason);
        if above == Some(StopReason::Interrupted) {
            return above;
        }
        let late =
            || self.0.deadline.is_some_and(|at| Instant::now() >= at).then_some(StopReason::TimeBudget);
        self.requested().or(above).or_else(late)
    }

    /// Why this very request was made, if it was.
    pub(crate) fn requested(&self) -> Option<StopReason> {
        usize::from(self.0.reason.load(Ordering::SeqCst)).checked_sub(1).map(|i| REASONS[i])
    }

    /// For loops.
    ///
    /// # Errors
    /// [`Error::Stopped`] if the work is to end.
    pub fn check(&self) -> Result<()> {
        self.reason().map_or(Ok(()), |reason| Err(Error::Stopped(reason)))
    }

    /// Runs `f` as work that this request ends.
    pub fn during<T>(&self, f: impl FnOnce() -> T) -> T {
        struct Restore(Stop);
        impl Drop for Restore {
            fn drop(&mut self) {
                CURRENT.set(std::mem::take(&mut self.0));
            }
        }
        let _restore = Restore(CURRENT.replace(self.clone()));
        f()
    }
}

/// Runs `f` on a thread of the rayon pool, so that kernels find themselves on one of its threads instead of waking it: on this
/// thread, if it is one.
pub fn in_pool<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    let stop = Stop::current();
    rayon::scope(|_| stop.during(f))
}

/// What `f` gives, which cannot be asked to end: it runs on a thread of its own, which is left to itself if the work is to end before.
///
/// # Errors
/// [`Error::Stopped`] if the work is to end, within some hundredths of a second. Panics if `f` does.
pub fn abandoned<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let stop = Stop::current();
    let (to, from) = mpsc::channel();
    let thread = std::thread::spawn(move || drop(to.send(f())));
    loop {
        match from.recv_timeout(Duration::from_millis(20)) {
            Ok(result) => return Ok(result),
            Err(RecvTimeoutError::Timeout) => stop.check()?,
            Err(RecvTimeoutError::Disconnected) => match thread.join() {
                Err(panic) => std::panic::resume_unwind(panic),
                Ok(()) => unreachable!("a thread that ends without a panic has sent its result"),
            },
        }
    }
}

/// Does `f` for ranges that are 0 to `n` one after the other, each so long that it takes about a tenth of a second. What comes out
/// must not depend on where they end.
///
/// # Errors
/// [`Error::Stopped`] between two ranges if the work is to end, and those of `f`.
pub fn paced(n: usize, mut f: impl FnMut(Range<usize>) -> Result<()>) -> Result<()> {
    let stop = Stop::current();
    let (mut done, mut size) = (0, 16);
    while done < n {
        stop.check()?;
        let (start, end) = (Instant::now(), n.min(done + size));
        f(done..end)?;
        let took = start.elapsed();
        if took < Duration::from_millis(50) {
            size *= 2;
        } else if took > Duration::from_millis(200) {
            size = (size / 2).max(1);
        }
        done = end;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_heard_below_and_not_above() {
        let root = Stop::new();
        let (one, two) = (root.child(), root.child());
        one.request(StopReason::EarlyStopping);
        assert_eq!((root.reason(), two.reason()), (None, None));
        assert_eq!(one.reason(), Some(StopReason::EarlyStopping));
        root.request(StopReason::Interrupted);
        // Whoever interrupts is heard over everything else.
        assert_eq!([&root, &one, &two].map(Stop::reason), [Some(StopReason::Interrupted); 3]);
        assert!(matches!(two.check(), Err(Error::Stopped(StopReason::Interrupted))));
    }

    #[test]
    fn time_is_shared() {
        let hour = Stop::new().within(Duration::from_secs(3600));
        let half = hour.share(0.5).left().unwrap().as_secs_f64();
        assert!((1799.0..=1800.0).contains(&half), "{half}");
        assert_eq!(hour.reason(), None);
        let over = hour.within(Duration::ZERO);
        assert_eq!((over.reason(), over.left()), (Some(StopReason::TimeBudget), Some(Duration::ZERO)));
        assert!(Stop::new().share(0.5).left().is_none());
    }

    #[test]
    fn ranges_are_all_there_is_and_end_when_asked() {
        let mut seen = Vec::new();
        let mut keep = |range| {
            seen.extend(range);
            Ok(())
        };
        paced(1000, &mut keep).unwrap();
        assert!(seen.iter().copied().eq(0..1000));
        let stop = Stop::new();
        let cut = stop.during(|| {
            paced(usize::MAX, |range| {
                if range.end > 100 {
                    stop.request(StopReason::Interrupted);
                }
                Ok(())
            })
        });
        assert!(matches!(cut, Err(Error::Stopped(StopReason::Interrupted))));
    }

    #[test]
    fn what_hears_nothing_is_left_to_itself() {
        assert_eq!(abandoned(|| 7).unwrap(), 7);
        let start = Instant::now();
        let stop = Stop::new().within(Duration::from_millis(50));
        let cut = stop.during(|| abandoned(|| std::thread::sleep(Duration::from_secs(5))));
        assert!(matches!(cut, Err(Error::Stopped(StopReason::TimeBudget))));
        assert!(start.elapsed() < Duration::from_secs(1));
        assert!(std::panic::catch_unwind(|| abandoned(|| panic!("within"))).is_err());
    }

    #[test]
    fn work_finds_its_request_on_every_thread_and_leaves_none_behind() {
        let stop = Stop::new();
        stop.request(StopReason::Interrupted);
        let seen = || Stop::current().reason();
        assert_eq!(stop.during(|| [seen(), in_pool(seen)]), [Some(StopReason::Interrupted); 2]);
        let panicked = std::panic::catch_unwind(|| stop.during(|| panic!("within")));
        assert!(panicked.is_err());
        assert_eq!([seen(), in_pool(seen)], [None; 2]);
    }
}
