//! Look-ups for asynchronous servers (feature `async`): futures that need no runtime.
//!
//! A hit of the internal cache is ready at the first poll. Else the futures of an asynchronous get
//! callback are polled by those who wait for them, wherever they run; a callback that blocks is
//! called by the first poll, and blocks it. Dropping one of these futures gives the look-up up:
//! others who wait for the same answer go on with it.

use super::found::Resumed;
use super::id::{Key, Namespace};
use super::outcome::Seat;
use super::outside::{Begun, Question};
use super::taking::{TakeOutside, Taking};
use super::{Hello, SessionCache};
use futures_timer::Delay;
use std::future::Future;
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
            Ok(found) => Begun::Over(Some(found)),
            Err(missed) => self.ask(&key, |question| cache.depart(question, modes, missed)),
        }
    }

    fn take(&self) -> Taking<'c> {
        let cache = self.cache;
        let Some(key) = cache.key(self.namespace, self.id) else { return Taking::Over(None) };
        self.ask(&key, |question| cache.depart_taking(question))
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
            return Poll::Ready(cache.use_late_answer(answer));
        }
        Pin::new(delay).poll(cx).map(|()| {
            let (seat, _) = this.waits.take()?;
            cache.give_up(seat)
        })
    }
}

impl<C: 'static> Drop for LookUp<'_, C> {
    /// Given up. No panic of the callback's future leaves this.
    fn drop(&mut self) {
        self.waits.take().into_iter().for_each(|(seat, _)| self.asker.cache.leave(seat));
    }
}

/// A take: as `LookUp`.
struct Take<'c, C: 'static> {
    asker: Asker<'c, C>,
    waits: Option<(TakeOutside, Delay)>,
}

impl<'c, C: 'static> Future for Take<'c, C> {
    type Output = Option<Resumed<'c>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let cache = this.asker.cache;
        // Out of `this` while its future is polled: in a panic it ends, with its flight.
        let (mut take, delay) = match this.waits.take() {
            Some(waits) => waits,
            None => match this.asker.take() {
                Taking::Over(taken) => return Poll::Ready(taken),
                Taking::Waits(take) => (take, cache.delay()),
            },
        };
        if let Poll::Ready(answer) = cache.fly_taking(&mut take, cx) {
            return Poll::Ready(cache.arrive_taking(take, answer));
        }
        let (_, delay) = this.waits.insert((take, delay));
        Pin::new(delay).poll(cx).map(|()| {
            let (take, _) = this.waits.take()?;
            cache.give_up_taking(take);
            None
        })
    }
}

impl<C: 'static> Drop for Take<'_, C> {
    /// Given up, as a look-up.
    fn drop(&mut self) {
        self.waits.take().into_iter().for_each(|(take, _)| self.asker.cache.end_taking(take));
    }
}
