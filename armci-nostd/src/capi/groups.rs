//! The groups that C has made.

use core::cell::{Cell, RefCell};
use core::ffi::c_int;
use core::ops::Deref;
use std::collections::BTreeMap;
use std::prelude::v1::*;
use std::rc::Rc;

use crate::capi::refusal::Refusal;
use crate::team::group::Group;

/// The number of the world.
pub(super) const WORLD: c_int = 0;

/// The groups that C has made, by the numbers that it knows them by.
pub(super) struct Groups {
    world: &'static Group,
    /// None where this rank is not a member.
    made: RefCell<BTreeMap<c_int, Option<Rc<Group>>>>,
    /// The last number given.
    last: Cell<c_int>,
    /// The number of the default group.
    pub default: Cell<c_int>,
}

/// A group in use.
#[derive(Clone)]
pub(super) enum GroupInUse {
    /// All ranks.
    World(&'static Group),
    /// One that C has made.
    Made(Rc<Group>),
}

impl Deref for GroupInUse {
    type Target = Group;
    fn deref(&self) -> &Group {
        match self {
            Self::World(group) => group,
            Self::Made(group) => group,
        }
    }
}

impl Groups {
    /// None made yet.
    pub fn new(world: &'static Group) -> Self {
        Self { world, made: RefCell::default(), last: Cell::new(WORLD), default: Cell::new(WORLD) }
    }

    /// A group that this rank is a member of.
    pub fn get(&self, id: c_int) -> Result<GroupInUse, Refusal> {
        if id == WORLD {
            return Ok(GroupInUse::World(self.world));
        }
        let made = self.made.borrow();
        made.get(&id).cloned().flatten().map(GroupInUse::Made).ok_or(Refusal::Group)
    }

    /// The group at `group`, or the world if that is null.
    ///
    /// # Safety
    /// `group` must be null or valid.
    pub unsafe fn at_or_world(&self, group: *const c_int) -> Result<GroupInUse, Refusal> {
        // SAFETY: by the caller.
        self.get(unsafe { group.as_ref() }.copied().unwrap_or(WORLD))
    }

    /// Keeps a group that was made, and gives it a number; none where this rank is not a member.
    pub fn keep(&self, group: Option<Group>) -> c_int {
        let id = self.last.get() + 1;
        self.last.set(id);
        self.made.borrow_mut().insert(id, group.map(Rc::new));
        id
    }

    /// Gives up the number of a group; it is the default no more. None where this rank is not a
    /// member.
    pub fn give_up(&self, id: c_int) -> Result<Option<Rc<Group>>, Refusal> {
        let group = self.made.borrow_mut().remove(&id).ok_or(Refusal::Group)?;
        if self.default.get() == id {
            self.default.set(WORLD);
        }
        Ok(group)
    }
}
