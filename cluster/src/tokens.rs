//! Tokens: who may do what at a port, and the secret that servers prove to each other.
//!
//! Read from private files before a server starts, by `tui/cli` for coordinators and nodes and by
//! the supervisor for itself. Of the tokens of clients only a keyed hash is kept, and comparing
//! takes the same time whatever was shown. Nothing here is ever printed or logged.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use nix::fcntl::OFlag;
use protocol::reply::Role;
use protocol::token::{TOKEN_BYTES_MAX, Token};
use sha2::Sha256;

/// Wrong tokens after which a connection is closed.
pub const FAILURES_MAX: u32 = 3;
/// Bits of a file's mode that a token's file must not have.
const TOO_OPEN: u32 = 0o177;
/// What the hash of a client's token is of.
const ROLE_LABEL: &str = "piazza role";

/// Why the tokens cannot be used: one sentence that says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TokenError(String);

/// Where the tokens of a cluster are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenFiles {
    /// Of those who read and update keys.
    pub client: Option<PathBuf>,
    /// Of those who look.
    pub viewer: Option<PathBuf>,
    /// Of those who may do all.
    pub admin: Option<PathBuf>,
    /// Of the servers.
    pub peer: Option<PathBuf>,
}

/// A keyed hash of a token; two are equal if their tokens are.
#[derive(Clone, PartialEq, Eq)]
struct Seal([u8; 32]);

/// The tokens of a cluster.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tokens {
    /// At most one a role, all different.
    roles: Vec<(Role, Seal)>,
    peer: Option<PeerSecret>,
}

/// What the servers of a cluster have in common, and nobody else has.
#[derive(Clone)]
pub struct PeerSecret(Arc<Token>);

/// The token that `path` holds: a private file of one line.
///
/// # Errors
/// The file cannot be read, is not private, or holds no token.
pub fn read(path: &Path) -> Result<Token, TokenError> {
    let shown = path.display();
    let failed = |error: io::Error| {
        TokenError(format!("the token in {shown} cannot be read: {error}; check the path"))
    };
    // Opening something that is no file must not wait for whoever writes to it.
    let mut options = OpenOptions::new();
    let options = options.read(true).custom_flags(OFlag::O_NONBLOCK.bits());
    let file = options.open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(TokenError(format!("{shown} is no file: name the file of a token")));
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & TOO_OPEN != 0 {
        return Err(TokenError(format!(
            "the token in {shown} is not private (mode {mode:o}): run chmod 600 {shown}, or make \
             a new one if others may have read it"
        )));
    }
    let mut text = String::new();
    // Two bytes more than can be right: a newline, and one that shows that it is too long.
    file.take(TOKEN_BYTES_MAX as u64 + 2).read_to_string(&mut text).map_err(failed)?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Token::new(text).map_err(|error| TokenError(format!("{shown}: {error}")))
}

impl TokenFiles {
    /// The flags that name them, with the files.
    pub fn flags(&self) -> [(&'static str, Option<&Path>); 4] {
        [
            ("--client-token-file", self.client.as_deref()),
            ("--viewer-token-file", self.viewer.as_deref()),
            ("--admin-token-file", self.admin.as_deref()),
            ("--peer-token-file", self.peer.as_deref()),
        ]
    }

    /// The same files by paths that hold in any directory.
    ///
    /// # Errors
    /// The working directory cannot be told.
    pub fn absolute(&self) -> io::Result<Self> {
        let absolute = |path: &Option<PathBuf>| path.as_ref().map(std::path::absolute).transpose();
        Ok(Self {
            client: absolute(&self.client)?,
            viewer: absolute(&self.viewer)?,
            admin: absolute(&self.admin)?,
            peer: absolute(&self.peer)?,
        })
    }

    /// Reads them.
    ///
    /// # Errors
    /// As for [`read`], with the flag; two are the same.
    pub fn load(&self) -> Result<Tokens, TokenError> {
        let mut tokens = Tokens::default();
        let mut seals: Vec<(&'static str, Seal)> = Vec::new();
        let roles = [Some(Role::Client), Some(Role::Viewer), Some(Role::Admin), None];
        for ((flag, path), role) in self.flags().into_iter().zip(roles) {
            let Some(path) = path else { continue };
            let token = read(path).map_err(|error| TokenError(format!("{flag}: {error}")))?;
            let seal = Seal::of(&token);
            if let Some((other, _)) = seals.iter().find(|(_, other)| *other == seal) {
                return Err(TokenError(format!(
                    "{other} and {flag} hold the same token, which cannot stand for both: make \
                     another one with `piazza token new FILE`"
                )));
            }
            match role {
                Some(role) => tokens.roles.push((role, seal.clone())),
                None => tokens.peer = Some(PeerSecret(Arc::new(token))),
            }
            seals.push((flag, seal));
        }
        Ok(tokens)
    }
}

/// Who is to reach a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Clients, or those who act on processes.
    Clients,
    /// Other servers.
    Servers,
}

impl Tokens {
    /// Whether a connection must show a token before it may do anything.
    pub fn are_wanted(&self) -> bool {
        !self.roles.is_empty()
    }

    /// The secret of the servers.
    pub fn peer(&self) -> Option<&PeerSecret> {
        self.peer.as_ref()
    }

    /// What `text` allows; nothing if it is no token.
    fn role(&self, text: &str) -> Option<Role> {
        // All of them are looked at, whichever it is.
        let fits = self.roles.iter().filter(|(_, seal)| seal.is_of(text)).map(|(role, _)| *role);
        fits.fold(None, |_, role| Some(role))
    }

    /// Whether a server may listen on `address`, which the flag `flag` named.
    ///
    /// # Errors
    /// Other machines can reach it, and nothing keeps strangers out.
    pub fn check_reach(
        &self,
        flag: &str,
        address: SocketAddr,
        audience: Audience,
    ) -> Result<(), TokenError> {
        let (is_kept, harm, flags) = match audience {
            Audience::Clients => (
                self.are_wanted(),
                "without tokens everybody who reaches it is admin",
                "--admin-token-file FILE (and --client-token-file, --viewer-token-file for those \
                 who may do less)",
            ),
            Audience::Servers => (
                self.peer.is_some(),
                "without a peer token anybody who reaches it can pass for a server",
                "--peer-token-file FILE to all servers",
            ),
        };
        if is_kept || is_loopback(address.ip()) {
            return Ok(());
        }
        Err(TokenError(format!(
            "{flag} {address} can be reached from other machines, and {harm}: give {flags}, made \
             with `piazza token new FILE`, or a loopback address, as 127.0.0.1:{}",
            address.port()
        )))
    }
}

/// Whether only this machine reaches it.
pub(crate) fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

impl Seal {
    fn of(token: &Token) -> Self {
        Self(mac(token.secret(), ROLE_LABEL, &[]).finalize().into_bytes().into())
    }

    fn is_of(&self, text: &str) -> bool {
        mac(text, ROLE_LABEL, &[]).verify_slice(&self.0).is_ok()
    }
}

fn mac(key: &str, label: &str, parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("a key may have any length");
    mac.update(label.as_bytes());
    for part in parts {
        // No two lists of parts are the same bytes.
        mac.update(&(part.len() as u64).to_le_bytes());
        mac.update(part);
    }
    mac
}

impl PeerSecret {
    /// What only those who have the secret can make of `parts`; `label` says what for.
    pub fn tag(&self, label: &str, parts: &[&[u8]]) -> [u8; 32] {
        mac(self.0.secret(), label, parts).finalize().into_bytes().into()
    }

    /// Whether `tag` is that of `parts`.
    pub fn is_tag(&self, label: &str, parts: &[&[u8]], tag: &[u8]) -> bool {
        mac(self.0.secret(), label, parts).verify_slice(tag).is_ok()
    }
}

impl PartialEq for PeerSecret {
    fn eq(&self, other: &Self) -> bool {
        self.is_tag("", &[], &other.tag("", &[]))
    }
}

impl Eq for PeerSecret {}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let roles: Vec<Role> = self.roles.iter().map(|(role, _)| *role).collect();
        f.debug_struct("Tokens").field("roles", &roles).field("peer", &self.peer).finish()
    }
}

impl fmt::Debug for PeerSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerSecret(secret)")
    }
}

/// Who is at the other end of a connection, as far as it has shown.
#[derive(Debug)]
pub struct Visitor {
    tokens: Arc<Tokens>,
    role: Option<Role>,
    failures: u32,
}

impl Visitor {
    /// Somebody who has shown nothing yet: without tokens that is an admin.
    pub fn new(tokens: Arc<Tokens>) -> Self {
        let role = (!tokens.are_wanted()).then_some(Role::Admin);
        Self { tokens, role, failures: 0 }
    }

    /// What it may do; nothing before it has shown a token.
    pub fn role(&self) -> Option<Role> {
        self.role
    }

    /// It shows `token`: what that allows from now on. A wrong one takes nothing away.
    pub fn show(&mut self, token: &str) -> Option<Role> {
        if !self.tokens.are_wanted() {
            return self.role;
        }
        let shown = self.tokens.role(token);
        match shown {
            Some(_) => self.role = shown,
            None => self.failures += 1,
        }
        shown
    }

    /// Whether it has shown so many wrong tokens that it is to go.
    pub fn is_to_go(&self) -> bool {
        self.failures >= FAILURES_MAX
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::fs::{self, Permissions};

    /// Tokens of these roles: 32 times the letter.
    pub(crate) fn tokens(roles: &[(Role, char)]) -> Arc<Tokens> {
        let seal = |letter| Seal::of(&Token::new(&text(letter)).unwrap());
        let roles = roles.iter().map(|(role, letter)| (*role, seal(*letter))).collect();
        Arc::new(Tokens { roles, peer: None })
    }

    /// The secret of servers that is 32 times the letter.
    pub(crate) fn secret(letter: char) -> PeerSecret {
        PeerSecret(Arc::new(Token::new(&text(letter)).unwrap()))
    }

    pub(crate) fn text(letter: char) -> String {
        letter.to_string().repeat(32)
    }

    /// A directory of its own, removed at the end.
    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let name = format!("piazza-tokens-{}-{name}", std::process::id());
            let dir = std::env::temp_dir().join(name);
            fs::create_dir_all(&dir).unwrap();
            Self(dir)
        }

        fn file(&self, name: &str, text: &str, mode: u32) -> PathBuf {
            let path = self.0.join(name);
            let _ = fs::remove_file(&path);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            path
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_file_is_private_and_holds_one_token() {
        let dir = Dir::new("file");
        for (text, mode) in [("a", 0o600), ("b", 0o400)] {
            let (whole, line) = (text.repeat(32), text.repeat(32) + "\n");
            for text in [&whole, &line] {
                assert_eq!(read(&dir.file("right", text, mode)).unwrap().secret(), whole);
            }
        }
        let right = "c".repeat(32);
        for (text, mode, say) in [
            (right.clone(), 0o640, "chmod 600"),
            (right.clone(), 0o604, "chmod 600"),
            (right.clone(), 0o700, "chmod 600"),
            ("c".repeat(31) + "\n", 0o600, "31 bytes"),
            (right.clone() + "\n\n", 0o600, "control character"),
            (right.clone() + "\r\n", 0o600, "control character"),
            ("c".repeat(5_000), 0o600, "not 32 to 4096"),
            (String::new(), 0o600, "0 bytes"),
        ] {
            let error = read(&dir.file("wrong", &text, mode)).unwrap_err().to_string();
            assert!(error.contains(say) && !error.contains(&"c".repeat(8)), "{error}");
        }
        assert!(read(&dir.0).unwrap_err().to_string().contains("is no file"));
        assert!(read(&dir.0.join("none")).unwrap_err().to_string().contains("cannot be read"));
    }

    #[test]
    fn files_give_roles_and_never_the_same_token_twice() {
        let dir = Dir::new("roles");
        let file = |letter: char| Some(dir.file(&letter.to_string(), &text(letter), 0o600));
        let files =
            TokenFiles { client: file('c'), viewer: file('v'), admin: file('a'), peer: file('p') };
        let tokens = Arc::new(files.load().unwrap());
        assert_eq!(tokens.peer(), Some(&secret('p')));
        for (letter, role) in [
            ('c', Some(Role::Client)),
            ('v', Some(Role::Viewer)),
            ('a', Some(Role::Admin)),
            ('p', None),
            ('x', None),
        ] {
            assert_eq!(Visitor::new(Arc::clone(&tokens)).show(&text(letter)), role, "{letter}");
        }
        assert!(
            !TokenFiles { peer: file('p'), ..TokenFiles::default() }.load().unwrap().are_wanted()
        );
        let same = TokenFiles { peer: file('a'), ..files };
        let error = same.load().unwrap_err().to_string();
        assert!(error.contains("--admin-token-file and --peer-token-file"), "{error}");
        assert!(!format!("{tokens:?} {error}").contains("aaaa"));
    }

    #[test]
    fn who_shows_nothing_is_nobody_unless_there_are_no_tokens() {
        let mut free = Visitor::new(tokens(&[]));
        assert_eq!((free.role(), free.show("anything")), (Some(Role::Admin), Some(Role::Admin)));
        let mut visitor = Visitor::new(tokens(&[(Role::Viewer, 'v'), (Role::Admin, 'a')]));
        assert_eq!((visitor.role(), visitor.show("v")), (None, None));
        assert_eq!(visitor.show(&text('v')), Some(Role::Viewer));
        assert_eq!((visitor.show(""), visitor.role()), (None, Some(Role::Viewer)));
        assert_eq!(visitor.show(&text('a')), Some(Role::Admin));
        assert!(!visitor.is_to_go(), "two of them were wrong");
        assert_eq!((visitor.show("x"), visitor.is_to_go()), (None, true));
    }

    #[test]
    fn only_with_a_token_may_others_reach_a_port() {
        let (free, kept) = (tokens(&[]), tokens(&[(Role::Viewer, 'v')]));
        let peers = Tokens { peer: Some(secret('p')), ..Tokens::default() };
        let check = |tokens: &Tokens, address: &str, audience| {
            tokens.check_reach("--listen", address.parse().unwrap(), audience)
        };
        for address in ["127.0.0.1:1", "127.8.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(check(&free, address, Audience::Clients).is_ok(), "{address}");
            assert!(check(&free, address, Audience::Servers).is_ok(), "{address}");
        }
        for address in ["0.0.0.0:8080", "192.168.1.1:8080", "[::]:8080"] {
            let error = check(&free, address, Audience::Clients).unwrap_err().to_string();
            assert!(error.contains("--admin-token-file") && error.contains("127.0.0.1:8080"));
            let error = check(&kept, address, Audience::Servers).unwrap_err().to_string();
            assert!(error.contains("--peer-token-file"), "{error}");
            assert!(check(&peers, address, Audience::Clients).is_err(), "{address}");
            assert!(check(&kept, address, Audience::Clients).is_ok(), "{address}");
            assert!(check(&peers, address, Audience::Servers).is_ok(), "{address}");
        }
    }

    /// The parts of a tag are told apart, and so is what it is for.
    #[test]
    fn a_tag_is_of_its_parts_and_its_purpose() {
        let secret = secret('p');
        let tag = secret.tag("one", &[b"ab", b"c"]);
        assert!(secret.is_tag("one", &[b"ab", b"c"], &tag));
        assert!(!secret.is_tag("one", &[b"a", b"bc"], &tag));
        assert!(!secret.is_tag("two", &[b"ab", b"c"], &tag));
        assert!(!secret.is_tag("one", &[b"ab", b"c"], &tag[..31]));
        assert!(!super::tests::secret('q').is_tag("one", &[b"ab", b"c"], &tag));
    }
}
