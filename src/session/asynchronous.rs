//! Look-ups for asynchronous servers (feature `async`): futures that need no runtime.
//!
//! A hit of the internal cache is ready at the first poll. Else the futures of an asynchronous get
//! callback are polled by those who wait for them, wherever they run; a callback that blocks is
//! called by the first poll, and blocks it. Dropping one of these futures gives the look-up up:
//! others who wait for the same answer go on with it.

use super::flights::Before;
use super::found::Resumed;
use super::id::{Key, Namespace};
use super::outcome::Seat;
use super::outside::{Begun, Question, TakeOutside, Taking};
use super::{Hello, SessionCache};
use crate::panics::discard;
use crate::removal::RemovalCause;
use futures_timer::Delay;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

impl<C: 'static> SessionCache<C> {
    /// As [`resume`](Self::resume), as a future: lazy, and `Send` where `C` is `Sync`. It is a miss
    /// when the [`lookup_timeout`](super::SessionBuilder::lookup_timeout) is over.
    ///
    /// Its answer pins the thread if it comes from the internal cache: it is not `Send`, so take a
    /// copy of it ([`Resumed::to_session`]) before the next `await`.
    ///
    /// # Panics
    /// If the get callback, its future, or the remove callback does.
    pub fn resume_async<'c>(
        &'c self,
        connection: &'c C,
        namespace: &'c Namespace,
        id: &'c [u8],
    ) -> impl Future<Output = Option<Resumed<'c>>> + use<'c, C> {
        let asker = Asker { cache: self, connection, namespace, id, hello: None };
        LookUp { asker, waits: None }
    }

    /// As [`take`](Self::take), as a future: see [`resume_async`](Self::resume_async). If it is
    /// dropped while the external store is asked, what that gives is lost: nobody else gets it.
    ///
    /// # Panics
    /// If the get callback, its future, or the remove callback does; the session is lost then.
    pub fn take_async<'c>(
        &'c self,
        connection: &'c C,
        namespace: &'c Namespace,
        id: &'c [u8],
    ) -> impl Future<Output = Option<Resumed<'c>>> + use<'c, C> {
        Take { asker: Asker { cache: self, connection, namespace, id, hello: None }, waits: None }
    }

    fn delay(&self) -> Delay {
        Delay::new(self.shared.lookup_timeout)
    }
}

impl<'c, C: 'static> Hello<'c, C> {
    /// As [`SessionCache::resume_async`]; a miss once the budget is spent.
    ///
    /// # Panics
    /// As there.
    pub fn resume_async<'h>(
        &'h self,
        id: &'h [u8],
    ) -> impl Future<Output = Option<Resumed<'h>>> + use<'h, 'c, C> {
        LookUp { asker: self.asker(id), waits: None }
    }

    /// As [`SessionCache::take_async`]; a miss once the budget is spent.
    ///
    /// # Panics
    /// As there.
    pub fn take_async<'h>(
        &'h self,
        id: &'h [u8],
    ) -> impl Future<Output = Option<Resumed<'h>>> + use<'h, 'c, C> {
        Take { asker: self.asker(id), waits: None }
    }

    fn asker<'h>(&'h self, id: &'h [u8]) -> Asker<'h, C> {
        let Hello { cache, connection, namespace, .. } = self;
        Asker { cache, connection, namespace, id, hello: Some(self) }
    }
}

/// Who asks for what.
struct Asker<'c, C: 'static> {
    cache: &'c SessionCache<C>,
    connection: &'c C,
    namespace: &'c Namespace,
    id: &'c [u8],
    hello: Option<&'c Hello<'c, C>>,
}

impl<'c, C: 'static> Asker<'c, C> {
    fn ask<R>(&self, key: &Key, ask: impl FnOnce(&Question<'_, C>) -> R) -> R {
        let spend = || self.hello.is_none_or(Hello::spend);
        let Self { connection, namespace, id, .. } = *self;
        ask(&Question { connection, namespace, id, key, spend: &spend })
    }

    fn resume(&self) -> Begun<'c> {
        let cache = self.cache;
        let Some(key) = cache.key(self.namespace, self.id) else { return Begun::Over(None) };
        let modes = cache.rules();
        match cache.look_inside(&key, modes) {
            Some(found) => Begun::Over(Some(found)),
            None => self.ask(&key, |question| cache.depart(question, modes)),
        }
    }
}

/// A look-up. Not an async block, which would keep a session that was found inside, and is not
/// `Send`, in its state.
struct LookUp<'c, C: 'static> {
    asker: Asker<'c, C>,
    /// `None`: it has not begun, or is over.
    waits: Option<(Seat, Delay)>,
}

impl<'c, C: 'static> Future for LookUp<'c, C> {
    type Output = Option<Resumed<'c>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let cache = this.asker.cache;
        let (seat, delay) = match &mut this.waits {
            Some(waits) => waits,
            None => match this.asker.resume() {
                Begun::Over(found) => return Poll::Ready(found),
                Begun::Waits(seat) => this.waits.insert((seat, cache.delay())),
            },
        };
        let outcome = seat.outcome().clone();
        let polled = seat.poll(cx, |cargo, cx| cache.fly(&outcome, cargo, cx));
        if let Poll::Ready(answer) = polled {
            this.waits = None;
            return Poll::Ready(cache.use_answer(answer));
        }
        Pin::new(delay).poll(cx).map(|()| {
            this.waits.take().into_iter().for_each(|(seat, _)| cache.give_up(seat));
            None
        })
    }
}

/// A take: as `LookUp`.
struct Take<'c, C: 'static> {
    asker: Asker<'c, C>,
    waits: Option<TakeWaits<'c, C>>,
}

/// A take that is out.
struct TakeWaits<'c, C: 'static> {
    take: TakeOutside,
    delay: Delay,
    /// Dropped last: the take is off the board by then.
    end: EndOfTake<'c, C>,
}

impl<'c, C: 'static> Take<'c, C> {
    /// Begins: `Err` if it is over.
    fn begin(&self) -> Result<TakeWaits<'c, C>, Option<Resumed<'c>>> {
        let cache = self.asker.cache;
        let key = cache.key(self.asker.namespace, self.asker.id).ok_or(None)?;
        let before = cache.shared.flights.before(key.bytes());
        let mut end = EndOfTake { cache, key, before, is_over: false };
        match self.asker.ask(&key, |question| cache.depart_taking(question)) {
            Taking::Over(taken) => {
                end.mark(taken.is_some());
                Err(taken)
            }
            Taking::Waits(take) => Ok(TakeWaits { take, delay: cache.delay(), end }),
        }
    }
}

impl<'c, C: 'static> Future for Take<'c, C> {
    type Output = Option<Resumed<'c>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let cache = this.asker.cache;
        if this.waits.is_none() {
            match this.begin() {
                Ok(waits) => this.waits = Some(waits),
                Err(taken) => return Poll::Ready(taken),
            }
        }
        let Some(waits) = &mut this.waits else { return Poll::Ready(None) };
        let answer = match cache.fly_taking(&mut waits.take, cx) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => match Pin::new(&mut waits.delay).poll(cx) {
                Poll::Ready(()) => None,
                Poll::Pending => return Poll::Pending,
            },
        };
        let Some(answer) = answer else {
            cache.give_up_taking();
            this.waits = None; // as if it were dropped
            return Poll::Ready(None);
        };
        let taken = cache.arrive_taking(&waits.take.out, answer);
        if let Some(TakeWaits { take, mut end, .. }) = this.waits.take() {
            // As of a blocking take: off the board, then the end.
            drop(take);
            end.mark(taken.is_some());
        }
        Poll::Ready(taken)
    }
}

/// What a take ends with, also if it is dropped, or panics, half-way.
struct EndOfTake<'t, C: 'static> {
    cache: &'t SessionCache<C>,
    key: Key,
    before: Before,
    is_over: bool,
}

impl<C: 'static> EndOfTake<'_, C> {
    fn mark(&mut self, has_taken: bool) {
        self.is_over = true;
        let key = self.key.bytes();
        let landed = self.cache.shared.flights.mark(self.before, |name| name == key);
        if has_taken {
            self.cache.remove_late(&self.key, landed, RemovalCause::Taken, |_| true);
        }
    }
}

impl<C: 'static> Drop for EndOfTake<'_, C> {
    fn drop(&mut self) {
        if !self.is_over {
            // Counted by the engine; there is nobody to hand it to.
            let marked = catch_unwind(AssertUnwindSafe(|| self.mark(true)));
            marked.unwrap_or_else(discard);
        }
    }
}
