//! The callbacks: they note what they see in the model, do what the script says, and answer.

use super::Cache;
use super::model::{Key, MOST_PAYLOAD, Model, SKEW_MS, key_of};
use super::play::perform;
use super::script::{Does, Form, Getter, NAMES, Op, Reply, Say, Setup, Shape, Who};
use halfshake::ManualClock;
use halfshake::session::{
    Answer, Asked, Namespace, New, Removed, Session, SessionId, Times, Verdict,
};
use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

pub(crate) const CONNECTION: u32 = 7;
/// Operations in operations: no deeper, whatever removal events perform.
const DEEPEST: usize = 4;
/// Of an answer that does not come, for those who wait for it.
const MANY_POLLS: u8 = 20;

/// What a callback panics with.
pub(crate) struct Injected;

pub(crate) struct World {
    model: Mutex<Model>,
    said: Mutex<Said>,
    pub(crate) mono: Arc<ManualClock>,
    pub(crate) wall: Arc<ManualClock>,
    pub(crate) names: [Namespace; 3],
}

/// What the callbacks are to do, and the sessions that there are.
#[derive(Default)]
struct Said {
    replies: Vec<Arc<Reply>>,
    /// Whether it refuses, what it does, and whether the session was put.
    new: Vec<(bool, Does, bool)>,
    on_removal: Arc<Does>,
    sessions: Vec<Session>,
    latest: BTreeMap<Key, usize>,
}

impl World {
    pub(crate) fn new(setup: Setup, mono: Arc<ManualClock>, wall: Arc<ManualClock>) -> Arc<Self> {
        use halfshake::Clock;
        let ms = |time: Duration| u64::try_from(time.as_millis()).expect("within our lives");
        Arc::new(Self {
            model: Mutex::new(Model::new(setup, ms(mono.now()), ms(wall.now()))),
            said: Mutex::default(),
            mono,
            wall,
            names: NAMES.map(|name| Namespace::new(name).expect("short")),
        })
    }

    /// Never held while the cache is called.
    pub(crate) fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().expect("a failed assertion ends the process")
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().expect("a failed assertion ends the process")
    }

    /// Runs a look-up to which this is the reply.
    pub(crate) fn replying<R>(&self, reply: &Reply, look_up: impl FnOnce() -> R) -> R {
        self.said().replies.push(Arc::new(reply.clone()));
        let done = look_up();
        self.said().replies.pop();
        done
    }

    pub(crate) fn on_new<R>(
        &self,
        (refuses, does): (bool, &Does),
        was_put: bool,
        run: impl FnOnce() -> R,
    ) -> R {
        self.said().new.push((refuses, does.clone(), was_put));
        let done = run();
        self.said().new.pop();
        done
    }

    pub(crate) fn on_removal(&self, does: &Does) {
        self.said().on_removal = Arc::new(does.clone());
    }

    /// No session has a reference that nobody knows of.
    pub(crate) fn is_balanced(&self) -> bool {
        self.said().sessions.iter().all(|session| session.references() == 1)
    }

    /// A session that is, or is not, one of this key; `None` if none can be.
    pub(crate) fn session(&self, cache: &Cache, key: &Key, shape: Shape) -> Option<Session> {
        let id = SessionId::new(&key.1).ok()?;
        let mut said = self.said();
        if let (Shape::Again, Some(latest)) = (shape, said.latest.get(key)) {
            return Some(said.sessions[*latest].clone());
        }
        let now = self.model().wall;
        let ms = Duration::from_millis;
        let serial = said.sessions.len() as u64;
        let size = match shape {
            Shape::TooLarge => MOST_PAYLOAD + 1,
            Shape::Largest => MOST_PAYLOAD,
            _ => 8,
        };
        let mut payload = vec![0x5a; size];
        payload[..8].copy_from_slice(&serial.to_le_bytes());
        let fresh = cache.make(&self.names[key.0], id, 0x0303, &payload);
        let times = |created, not_after| {
            fresh.with_times(Times::new(ms(created), ms(not_after), ms(not_after)))
        };
        let session = match shape {
            Shape::OtherId => {
                let mut other = key.1.clone();
                other[0] ^= 1;
                let other = SessionId::new(&other).ok()?;
                cache.make(&self.names[key.0], other, 0x0303, &payload)
            }
            Shape::OtherName => {
                cache.make(&self.names[(key.0 + 1) % NAMES.len()], id, 0x0303, &payload)
            }
            Shape::Expired => times(now - 50, now),
            Shape::LastMoment => times(now - 50, now + 1),
            Shape::FromTheFuture => times(now + SKEW_MS + 1, now + 500),
            Shape::LatestCreated => times(now + SKEW_MS, now + 500),
            _ => fresh,
        };
        let at = said.sessions.len();
        said.sessions.push(session.clone());
        if let Some(key) = key_of(&session) {
            said.latest.insert(key, at);
        }
        Some(session)
    }

    /// Performs what a callback is to do, unless that is too deep in others.
    fn inside(self: &Arc<Self>, cache: &Cache, ops: &[Op], in_event: bool) {
        for op in ops {
            if self.model().frames.len() >= DEEPEST {
                return;
            }
            self.model().frame().in_callbacks += 1;
            if in_event {
                self.model().frame().in_events += 1;
            }
            perform(self, cache, op);
        }
    }

    fn throw(&self) -> ! {
        self.model().frame().thrown += 1;
        resume_unwind(Box::new(Injected))
    }

    // The callbacks.

    pub(crate) fn set_get(self: &Arc<Self>, cache: &Cache, getter: Getter) {
        let world = self.clone();
        match getter {
            Getter::None => {
                cache.clear_get_callback();
                assert!(cache.get_callback().is_none() && cache.async_get_callback().is_none());
            }
            Getter::AtOnce => {
                cache.set_get_callback(move |connection, asked| {
                    assert_eq!(*connection, CONNECTION);
                    let (flight, reply) = world.ask(asked);
                    world.answer(asked.cache(), flight, &reply)
                });
                assert!(cache.get_callback().is_some() && cache.async_get_callback().is_none());
            }
            Getter::Later => {
                cache.set_async_get_callback(move |connection, asked| {
                    assert_eq!(*connection, CONNECTION);
                    world.later(asked)
                });
                assert!(cache.get_callback().is_none() && cache.async_get_callback().is_some());
            }
        }
        self.model().getter = getter;
    }

    pub(crate) fn set_others(self: &Arc<Self>, cache: &Cache) {
        let world = self.clone();
        cache.set_remove_callback(move |gone| world.removed(gone));
        self.set_new(cache, true);
    }

    pub(crate) fn set_new(self: &Arc<Self>, cache: &Cache, is_set: bool) {
        let world = self.clone();
        if is_set {
            cache.set_new_callback(move |_, new| world.new_session(new));
        } else {
            cache.clear_new_callback();
        }
        assert_eq!(cache.new_callback().is_some(), is_set);
        self.model().has_new = is_set;
    }

    fn ask(&self, asked: &Asked<'_, u32>) -> (usize, Arc<Reply>) {
        let name = self.names.iter().position(|name| name == asked.namespace());
        let key = (name.expect("one of ours"), asked.id().to_vec());
        let flight = self.model().ask(&key, asked.purpose());
        (flight, self.said().replies.last().expect("a look-up is under way").clone())
    }

    fn later(self: &Arc<Self>, asked: &Asked<'_, u32>) -> Later {
        let (flight, reply) = self.ask(asked);
        if matches!(reply.say, Say::Panic) && reply.polls == 0 {
            self.model().failed();
            self.throw();
        }
        self.model().set_inside(flight, false);
        let never = matches!(reply.say, Say::Never);
        let polls = if never { MANY_POLLS } else { reply.polls };
        let (world, cache) = (self.clone(), asked.cache().clone());
        Later { world, cache, flight, reply, polls, is_over: false }
    }

    fn answer(self: &Arc<Self>, cache: &Cache, flight: usize, reply: &Reply) -> Answer {
        self.inside(cache, &reply.inside, false);
        let key = self.model().flights[flight].key.clone();
        let given = |session: Option<&Session>| self.model().answers(flight, session);
        let say = match &reply.say {
            Say::Session(shape, form) => {
                let session = self.session(cache, &key, *shape).expect("an id that was accepted");
                given(Some(&session));
                return match form {
                    Form::Borrowed => Answer::borrowed(&session),
                    Form::HandedOver => Answer::handed_over(session),
                    Form::Serialised => Answer::serialised(session.to_bytes().to_vec()),
                };
            }
            Say::Damaged(at, by) => {
                let session = self.session(cache, &key, Shape::Fresh).expect("as above");
                let mut bytes = session.to_bytes().to_vec();
                let at = usize::from(*at) % bytes.len();
                bytes[at] ^= by;
                bytes
            }
            Say::Garbage(bytes) => bytes.clone(),
            Say::Unknown => {
                self.model().answers_unknown(flight);
                return Answer::unknown();
            }
            Say::Failed | Say::Never => {
                self.model().answers_failed(flight);
                return Answer::failed();
            }
            Say::Panic => {
                self.model().failed();
                self.throw();
            }
        };
        given(Session::from_bytes(&say).ok().as_ref());
        Answer::serialised(say)
    }

    fn new_session(self: &Arc<Self>, new: &New<'_, u32>) -> Verdict {
        let (refuses, does, was_put) = self.said().new.last().expect("a session is new").clone();
        let key = key_of(new.session()).expect("one of ours");
        let inserts = new.cache().stats().engine.inserts;
        let may_be_refused = !new.is_stored();
        {
            let mut model = self.model();
            model.settle(inserts, may_be_refused);
            model.frame().half_way = false;
            model.frame().new_calls += 1;
            if was_put {
                model.mark(super::model::Is::Yes, |other| *other == key);
                model.forget(&key);
            }
            let quiet = model.frame().in_events == 0 && model.frames.len() == 1;
            let is_there = model.live(&key) == Some(new.session());
            assert!(!quiet || !new.is_stored() || is_there, "stored, and not findable");
        }
        self.inside(new.cache(), &does.inside, false);
        if does.panics {
            self.throw();
        }
        if refuses { Verdict::Refuse } else { Verdict::Keep }
    }

    fn removed(self: &Arc<Self>, gone: &Removed<'_, u32>) {
        let session = gone.to_session();
        let key = key_of(&session).expect("one of ours");
        assert_eq!((gone.id(), gone.namespace()), (&key.1[..], NAMES[key.0]));
        self.model().removed(&key, &session, gone.cause());
        let does = self.said().on_removal.clone();
        self.inside(gone.cache(), &does.inside, true);
        if does.panics {
            self.throw();
        }
    }
}

/// An answer that comes after some polls.
struct Later {
    world: Arc<World>,
    cache: Cache,
    flight: usize,
    reply: Arc<Reply>,
    polls: u8,
    is_over: bool,
}

impl Future for Later {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let this = self.get_mut();
        if let Some(left) = this.polls.checked_sub(1) {
            this.polls = left;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        this.world.model().set_inside(this.flight, true);
        let answer = this.world.answer(&this.cache, this.flight, &this.reply);
        this.world.model().set_inside(this.flight, false);
        this.is_over = true;
        Poll::Ready(answer)
    }
}

impl Drop for Later {
    fn drop(&mut self) {
        if !self.is_over {
            self.world.model().leave(self.flight);
        }
    }
}

pub(crate) fn key(who: &Who) -> Key {
    (who.name, who.id.clone())
}
