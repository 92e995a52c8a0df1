//! Bugs on purpose: each weakens one rule a little, so that the tests can be tested.
//!
//! The places that hold a bug ask `planted`. Without the feature `planted-bugs` the answer is a
//! constant no, and nothing of a bug is compiled in. With it a test says which one the code that
//! runs on its thread has: the one thing in the core that is not handed in, and for test builds
//! only. Used by core and storage, set by `tests/sim/planted.rs`. It never has two bugs at once.

/// A bug, named by what goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A vote leaves before the group that holds its record is synced (H22).
    VoteBeforeSync,
    /// A claim is answered though groups that the report names are not durable yet (H9).
    ReportBeforeSync,
    /// A node listens to a coordinator of a lower epoch than it has promised (R2, H14).
    LowerEpochHeard,
    /// `aborted` is told when the first participant has refused (R5, H2).
    AbortToldEarly,
    /// What rests on an aborted transaction goes on (H18).
    CascadeLeftOut,
    /// A transaction is committed though another one is first on its key.
    OrderOfDecisions,
    /// An update is handed over though those before it on its keys were not: ids do not rise.
    OrderOfIds,
    /// A negative answer is given while something undecided could change it (H20).
    NegativeOnUndecided,
    /// What is decided is announced as settled before all have confirmed it (R8, H8).
    SettledEarly,
    /// A node confirms decisions that are not durable yet (R8, H22).
    ConfirmedBeforeSync,
    /// What a node has answered is cached though the set was written to since (H23).
    StaleFill,
    /// What a node's keystore has answered is cached though the key was written to since (H23).
    StaleNodeFill,
    /// The cache has a write before the votes are in (R12, H26).
    CachedBeforeVotes,
    /// The keys of several are read at several moments.
    CutTorn,
    /// What was read is told whether the lease holds or not (R11, H30).
    ToldWithoutLease,
    /// The lease counts from an answer's arrival instead of the question's sending (R11).
    LeaseFromAnswer,
    /// A new coordinator does not wait for the leases before it (R11, H28).
    LeaseNotWaitedFor,
    /// A key is read though its last update is in doubt (H29).
    DoubtRead,
    /// A participant that has not reported counts as one that has nothing (R6, H5).
    SilentIsNo,
    /// A transaction is committed, and those that have lost it never get it (R6, H52).
    LostNotAdopted,
    /// The log takes groups whose checksums are wrong (H50).
    ChecksumIgnored,
    /// What a recycled segment held before is taken for this one's (H53).
    OldSegmentRead,
    /// A start goes on behind the log's tail instead of writing it anew (R9, H9).
    TailKept,
    /// A new segment's name is not synced (R9, H54).
    DirectoryNotSynced,
    /// Only one copy of the state file is written (R9).
    StateOnce,
    /// Prepares may use the log's reserve (R14, H57).
    ReserveUsed,
    /// Prepares for which there is no room wait for decisions to give some (H57).
    RoomNotAsked,
    /// A claim is answered though the fence that it promises is not durable yet (R2).
    FenceNotSaved,
    /// An epoch is shared by all who claim it (R15, H16).
    EpochShared,
    /// One node is enough to claim an epoch, and to put a ring in force (R15, H17).
    ClaimOnMinority,
    /// A node takes prepares of another ring than its own (H42).
    RingIgnored,
    /// A node says no and does not remember it (R3, H3).
    RefusalForgotten,
    /// A vote counts though the life of the node that gave it is over (R4, H15).
    OldVoteCounts,
    /// A repetition is carried out like the first request (R16, H68).
    RepetitionCarriedOut,
    /// A new coordinator does not ask the nodes for the names that they know (R16).
    NamesNotAsked,
    /// A page is told before all nodes have told theirs.
    PageTooEarly,
    /// A page is told of a key whose last update is in doubt (R6).
    PageInDoubt,
    /// A node reads a page before it has applied what was decided.
    PageBeforeApplied,
    /// Of a transaction a watch is told the first write only.
    WatchedFirstOnly,
    /// A watch is told of an update before the votes are in (R12).
    WatchedBeforeVotes,
    /// A watch goes on under the next epoch as if nothing had happened between.
    WatchNotLost,
    /// What is decided is told once, whether it arrives or not (H65).
    DecisionToldOnce,
    /// Segments of the log are freed before the keystore has what was in them (H55).
    FreedEarly,
    /// Updates do not wait for the ring that is on its way (R10).
    BarrierLeftOut,
    /// A range is copied while something is open there in which the learner takes no part (R10,
    /// H40).
    CopiedWhileOpen,
    /// A new coordinator goes on from the oldest ring that it finds (H42).
    OldRingFound,
    /// An evicted participant counts as one that has nothing (R6, H5).
    EvictedIsNo,
    /// Who is the last in sync is evicted, and learners take its place (R15, H49).
    LastCopyEvicted,
    /// A learner is switched in before it has copied anything (R15).
    SwitchedInEarly,
    /// A learner is read (H35).
    LearnerRead,
    /// A learner copies from any member that is there (H36).
    CopiedFromNeighbour,
    /// A learner takes no part in updates (H39).
    LearnerLeftOut,
    /// What is copied replaces what is there, newer or not (H38).
    OlderReplacesNewer,
    /// Deletions are not copied (H38).
    TombstonesNotCopied,
    /// A learner has everything before that is durable (R15).
    LearnedBeforeDurable,
    /// A node that was evicted has its place again without copying (H37, H44).
    ReturnsInSync,
    /// A node that was evicted is taken to have had what was open when it left (H44).
    HadTooMuch,
    /// A node that was evicted holds what it had prepared before (H41).
    OldPreparesKept,
    /// A node drops what a ring does not let it hold before that is in force (R10, H42).
    DroppedBeforeInForce,
    /// Whoever was away copies what was written since, though tombstones of that time are gone (R8,
    /// H38).
    SweptUnseen,
    /// What is copied whole is copied onto what is left of an earlier time (H38).
    CopiedOntoOld,
    /// A copy is gone on with from where another one had come, of whatever stretch and learning
    /// (R10, H39).
    GoneOnFromAnother,
    /// A copy is gone on with from where it had come before the learner started anew (R15).
    GoneOnPastStart,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 63] = [
        Self::VoteBeforeSync,
        Self::ReportBeforeSync,
        Self::LowerEpochHeard,
        Self::AbortToldEarly,
        Self::CascadeLeftOut,
        Self::OrderOfDecisions,
        Self::OrderOfIds,
        Self::NegativeOnUndecided,
        Self::SettledEarly,
        Self::ConfirmedBeforeSync,
        Self::StaleFill,
        Self::StaleNodeFill,
        Self::CachedBeforeVotes,
        Self::CutTorn,
        Self::ToldWithoutLease,
        Self::LeaseFromAnswer,
        Self::LeaseNotWaitedFor,
        Self::DoubtRead,
        Self::SilentIsNo,
        Self::LostNotAdopted,
        Self::ChecksumIgnored,
        Self::OldSegmentRead,
        Self::TailKept,
        Self::DirectoryNotSynced,
        Self::StateOnce,
        Self::ReserveUsed,
        Self::RoomNotAsked,
        Self::FenceNotSaved,
        Self::EpochShared,
        Self::ClaimOnMinority,
        Self::RingIgnored,
        Self::RefusalForgotten,
        Self::OldVoteCounts,
        Self::RepetitionCarriedOut,
        Self::NamesNotAsked,
        Self::PageTooEarly,
        Self::PageInDoubt,
        Self::PageBeforeApplied,
        Self::WatchedFirstOnly,
        Self::WatchedBeforeVotes,
        Self::WatchNotLost,
        Self::DecisionToldOnce,
        Self::FreedEarly,
        Self::BarrierLeftOut,
        Self::CopiedWhileOpen,
        Self::OldRingFound,
        Self::EvictedIsNo,
        Self::LastCopyEvicted,
        Self::SwitchedInEarly,
        Self::LearnerRead,
        Self::CopiedFromNeighbour,
        Self::LearnerLeftOut,
        Self::OlderReplacesNewer,
        Self::TombstonesNotCopied,
        Self::LearnedBeforeDurable,
        Self::ReturnsInSync,
        Self::HadTooMuch,
        Self::OldPreparesKept,
        Self::DroppedBeforeInForce,
        Self::SweptUnseen,
        Self::CopiedOntoOld,
        Self::GoneOnFromAnother,
        Self::GoneOnPastStart,
    ];
}

#[cfg(feature = "planted-bugs")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Gives this thread's code a bug, or none.
#[cfg(feature = "planted-bugs")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether the code is to have this bug.
#[cfg(feature = "planted-bugs")]
pub(crate) fn planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Whether the code is to have this bug: never.
#[cfg(not(feature = "planted-bugs"))]
#[inline(always)]
pub(crate) const fn planted(_: Bug) -> bool {
    false
}
