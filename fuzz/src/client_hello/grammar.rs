//! What an input means: settings, and a script that builds one ClientHello, or two.
//!
//! Four bytes of settings: the server, where the live sessions are kept, the budget of look-ups,
//! and what the hello is for. Then one part after another: a byte that says which (`Script::part`),
//! and the bytes that it needs. What an input has too little of is 0.

use arbitrary::{Arbitrary, Unstructured};

/// More parts than this find nothing that fewer do not.
const MOST_PARTS: usize = 64;
/// As many as fit into a ClientHello.
const MOST_OFFERS: u16 = 1_600;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    Rustls,
    OpenSsl,
    /// It looks up before the handshake goes on.
    OpenSslFirst,
}

pub(crate) const SERVERS: [Server; 3] = [Server::Rustls, Server::OpenSsl, Server::OpenSslFirst];

/// Where the sessions are that the hello may propose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Inside,
    /// The get callback gives them.
    Outside,
    Expired,
    UnderAnotherName,
    Nowhere,
    /// The get callback fails.
    OutsideFails,
    /// The get callback gives them with a byte changed: which, and by what.
    OutsideDamaged(u8, u8),
}

/// An id, or an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Of TLS 1.3: of two tickets.
    Ticket(usize),
    /// Of TLS 1.2.
    Session,
    /// So many times the byte.
    Made(u8, u8),
    /// A ticket of which this byte is changed by this.
    Altered(u8, u8),
    Bytes(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binders {
    Right,
    /// Each with its first byte changed.
    Wrong,
    /// Each of this length.
    Long(u8),
    OneFewer,
    OneMore,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyShare {
    Good,
    /// The server has to ask for one.
    None,
    Zeros,
    OtherGroup,
}

/// What happens to the message once it is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    Change(u16, u8),
    CutOff(u16),
    /// By so much is the message longer than it says.
    Length(i8),
}

#[derive(Clone, Debug)]
pub(crate) struct Hello {
    pub(crate) tls13: bool,
    pub(crate) id: Who,
    pub(crate) random: u8,
    pub(crate) suites: Vec<u16>,
    pub(crate) share: KeyShare,
    pub(crate) offers: Vec<(Who, u16)>,
    pub(crate) binders: Binders,
    /// So many extensions stand behind the offers.
    pub(crate) behind: u8,
    /// Bits: of the usual extensions those that are not there.
    pub(crate) without: u16,
    pub(crate) extensions: Vec<(u16, Vec<u8>)>,
    pub(crate) damage: Vec<Damage>,
    /// Lengths of records, again and again.
    pub(crate) records: Vec<u16>,
    /// Records of one's own: before which of the hello's, their type, and what they have.
    pub(crate) others: Vec<(u8, u8, Vec<u8>)>,
    /// The version that records have.
    pub(crate) record_version: u16,
    /// So many bytes come at once; 0: all.
    pub(crate) piece: u8,
}

/// An input.
#[derive(Debug)]
pub struct Script {
    pub(crate) server: Server,
    pub(crate) kept: Kept,
    pub(crate) budget: u64,
    pub(crate) hellos: Vec<Hello>,
}

/// Suites that both servers and the live sessions have, and one that is none.
const SUITES: [u16; 5] = [0x1301, 0xc02b, 0x1302, 0xcca9, 0x00ff];

impl Hello {
    fn new(kind: u8) -> Self {
        let tls13 = kind & 1 == 0;
        Self {
            tls13,
            // What browsers say for old middleboxes; and what TLS 1.2 resumes by.
            id: if tls13 { Who::Made(32, 0x11) } else { Who::Session },
            random: 0x5a,
            suites: SUITES.to_vec(),
            share: KeyShare::Good,
            offers: if kind & 2 == 0 { Vec::new() } else { vec![(Who::Ticket(0), 1)] },
            binders: Binders::Right,
            behind: 0,
            without: 0,
            extensions: Vec::new(),
            damage: Vec::new(),
            records: Vec::new(),
            others: Vec::new(),
            record_version: 0x0301,
            piece: 0,
        }
    }

    /// Whether it is as a client may send it that knows what it does, in whatever records.
    pub(crate) fn is_plain(&self) -> bool {
        let is_good = self.damage.is_empty() && self.extensions.is_empty() && self.without == 0;
        let is_usual = self.suites == SUITES && self.share == KeyShare::Good && self.behind == 0;
        let are_records = self.others.is_empty()
            && self.record_version == 0x0301
            // What rustls puts together is at most 65,535 bytes, headers of records among them: the
            // longest hello that is made here has no room for many.
            && self.records.iter().all(|len| *len >= 4_096);
        is_good && is_usual && are_records && self.binders == Binders::Right
    }
}

/// The rest of an input.
struct Bytes<'a, 'b>(&'a mut Unstructured<'b>);

impl Bytes<'_, '_> {
    fn byte(&mut self) -> u8 {
        u8::arbitrary(self.0).unwrap_or(0)
    }

    fn word(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    fn some(&mut self) -> Vec<u8> {
        let len = usize::from(self.byte()).min(self.0.len());
        (0..len).map(|_| self.byte()).collect()
    }

    fn who(&mut self) -> Who {
        match self.byte() % 8 {
            0 => Who::Ticket(0),
            1 => Who::Ticket(1),
            2 => Who::Session,
            3 => Who::Made(32, self.byte()),
            4 => Who::Made(self.byte(), self.byte()),
            5 => Who::Altered(self.byte(), self.byte()),
            _ => Who::Bytes(self.some()),
        }
    }

    fn kept(&mut self) -> Kept {
        match self.byte() % 8 {
            0 | 1 => Kept::Inside,
            2 => Kept::Outside,
            3 => Kept::Expired,
            4 => Kept::UnderAnotherName,
            5 => Kept::Nowhere,
            6 => Kept::OutsideFails,
            _ => Kept::OutsideDamaged(self.byte(), self.byte()),
        }
    }

    fn binders(&mut self) -> Binders {
        match self.byte() % 5 {
            0 => Binders::Right,
            1 => Binders::Wrong,
            2 => Binders::Long(self.byte()),
            3 => Binders::OneFewer,
            _ => Binders::OneMore,
        }
    }

    fn share(&mut self) -> KeyShare {
        let shares = [KeyShare::Good, KeyShare::None, KeyShare::Zeros, KeyShare::OtherGroup];
        shares[usize::from(self.byte() % 4)]
    }
}

impl Script {
    fn part(&mut self, bytes: &mut Bytes<'_, '_>) {
        let which = bytes.byte() % 16;
        if which == 15 && self.hellos.len() < 2 {
            let next = Hello::new(bytes.byte());
            return self.hellos.push(next);
        }
        let hello = self.hellos.last_mut().expect("there is one from the beginning");
        match which {
            0 => hello.id = bytes.who(),
            1 => hello.offers.push((bytes.who(), 1)),
            2 => hello.offers.push((bytes.who(), 1 + bytes.word() % MOST_OFFERS)),
            3 => hello.binders = bytes.binders(),
            4 => hello.extensions.push((bytes.word(), bytes.some())),
            5 => hello.without = bytes.word(),
            6 => hello.damage.push(Damage::Change(bytes.word(), bytes.byte())),
            7 => hello.damage.push(Damage::CutOff(bytes.word())),
            8 => hello.damage.push(Damage::Length(bytes.byte().cast_signed())),
            9 => hello.records.push(bytes.word()),
            10 => hello.others.push((bytes.byte(), bytes.byte(), bytes.some())),
            11 => hello.suites = (0..bytes.byte() % 16).map(|_| bytes.word()).collect(),
            12 => hello.share = bytes.share(),
            13 => hello.piece = bytes.byte(),
            14 => match bytes.byte() % 4 {
                0 => hello.behind = bytes.byte(),
                1 => hello.random = bytes.byte(),
                2 => hello.record_version = bytes.word(),
                _ => hello.offers.clear(),
            },
            _ => {}
        }
    }
}

impl<'b> Arbitrary<'b> for Script {
    fn arbitrary(input: &mut Unstructured<'b>) -> arbitrary::Result<Self> {
        let mut bytes = Bytes(input);
        let server = SERVERS[usize::from(bytes.byte()) % SERVERS.len()];
        let kept = bytes.kept();
        let budget = u64::from(bytes.byte() % 8) + 1;
        let hellos = vec![Hello::new(bytes.byte())];
        let mut script = Self { server, kept, budget, hellos };
        let mut parts = 0;
        while !bytes.0.is_empty() && parts < MOST_PARTS {
            script.part(&mut bytes);
            parts += 1;
        }
        Ok(script)
    }
}
