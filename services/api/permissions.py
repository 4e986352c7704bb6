"""Who may do what: principals with their roles, and one table of the roles that each route takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, get_args

from domain.account import Account, NotPermitted, Role
from services.accounts.handlers import Asker

EVERYWHERE = "*"
"""What grants name in place of an account, where they hold on each of them."""

OPERATOR = "operator"
"""Who is at the local socket of a data folder, or came by a link of `driverlink up`."""


class Unauthenticated(Exception):
    """A request does not prove whose it is; the message says how it could."""


class Forbidden(Exception):
    """Whose request it is has none of the roles that the route takes."""


class NotAsSeen(Exception):
    """What a request is about is not as `If-Match` says that its sender saw it."""

    def __init__(self, words: str = "it has changed since it was seen, so nothing was done; look at it again") -> None:
        super().__init__(words)


class PrincipalKind(StrEnum):
    """How somebody proved who they are: by signing in, by an API key, or by being where only the operator can be."""

    PERSON = "person"
    KEY = "key"
    LOCAL = "local"


Grants = Mapping[str, frozenset[Role]]
"""Granted roles by account, or by `EVERYWHERE`."""

GrantedRole = Literal[Role.VIEWER, Role.OPERATOR, Role.APPROVER, Role.ACCOUNT_MANAGER, Role.ADMIN]
"""A role that can be granted; who the Master User is, only the account says."""

GRANTED: Final[frozenset[Role]] = frozenset(get_args(GrantedRole))
"""The roles that can be granted: any other one counts for nothing in a grant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who a request proved to come from, and the roles that were granted to them."""

    who: str
    kind: PrincipalKind
    grants: Grants

    def roles_on(self, account: Account) -> frozenset[Role]:
        """Every role on an account: what was granted, and what the account itself says of a person."""
        roles = self.roles_everywhere | (self.grants.get(account.account, frozenset()) & GRANTED)
        if self.kind is PrincipalKind.PERSON and self.who:
            roles |= {Role.MASTER_USER} if self.who == account.master_user else set()
            roles |= {Role.ACCOUNT_MANAGER} if self.who == account.account_manager else set()
        return roles

    @property
    def roles_everywhere(self) -> frozenset[Role]:
        """The roles that were granted on every account, and so on the installation."""
        return self.grants.get(EVERYWHERE, frozenset()) & GRANTED


THE_OPERATOR = Principal(
    who=OPERATOR, kind=PrincipalKind.LOCAL, grants={EVERYWHERE: frozenset({Role.ADMIN, Role.OPERATOR})}
)


class Scope(StrEnum):
    """On what a role has to be held: the account that the request names, else all; the installation; or any account."""

    PUBLIC = "public"
    ACCOUNT = "account"
    INSTALLATION = "installation"
    ANY = "any"


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """What a route takes: one of these roles, within the scope. A public one takes nothing."""

    scope: Scope
    roles: frozenset[Role] = frozenset()

    def __str__(self) -> str:
        return " or ".join(sorted(role.replace("_", " ") for role in self.roles))


def _on_account(*roles: Role) -> Permission:
    return Permission(scope=Scope.ACCOUNT, roles=frozenset(roles))


def _on_installation(*roles: Role) -> Permission:
    return Permission(scope=Scope.INSTALLATION, roles=frozenset(roles))


_PUBLIC = Permission(scope=Scope.PUBLIC)
_SOMEWHERE = Permission(scope=Scope.ANY, roles=frozenset(Role))
_READ = _on_account(*Role)
_OPERATE = _on_account(Role.OPERATOR, Role.MASTER_USER, Role.ACCOUNT_MANAGER, Role.ADMIN)
_APPROVE = _on_account(Role.APPROVER, Role.MASTER_USER, Role.ACCOUNT_MANAGER, Role.ADMIN)
_CONFIGURE = _on_account(Role.MASTER_USER, Role.ACCOUNT_MANAGER, Role.ADMIN)
_ALLOW = _on_account(Role.ACCOUNT_MANAGER, Role.ADMIN)
_TURN = _on_account(Role.MASTER_USER, Role.ADMIN)
_OPEN = _on_account(Role.VIEWER, Role.OPERATOR, Role.ADMIN)
_STATE = _on_account(Role.OPERATOR, Role.ADMIN)
_ERASE = _on_account(Role.MASTER_USER, Role.ACCOUNT_MANAGER, Role.ADMIN)
_ADMINISTER = _on_installation(Role.ADMIN)
_WATCH = _on_installation(Role.VIEWER, Role.OPERATOR, Role.ADMIN)
_REPAIR = _on_installation(Role.OPERATOR, Role.ADMIN)

PERMISSIONS: Mapping[str, Permission] = {
    "is_live": _PUBLIC,
    "is_ready": _PUBLIC,
    "add_account": _ADMINISTER,
    "list_accounts": _SOMEWHERE,
    "apply_accounts": _ADMINISTER,
    "remove_account": _on_account(Role.ACCOUNT_MANAGER, Role.ADMIN),
    "set_people": _on_account(Role.ACCOUNT_MANAGER, Role.ADMIN),
    "show_account": _READ,
    "show_account_history": _READ,
    "allow_sync": _ALLOW,
    "set_mode": _CONFIGURE,
    "turn_sync": _TURN,
    "set_reconciliation_time": _CONFIGURE,
    "connect_target": _CONFIGURE,
    "check_credentials": _CONFIGURE,
    "disconnect_target": _CONFIGURE,
    "list_push_secrets": _CONFIGURE,
    "create_secret": _CONFIGURE,
    "rotate_secret": _CONFIGURE,
    "revoke_secret": _CONFIGURE,
    "list_webhooks": _OPERATE,
    "create_webhook": _CONFIGURE,
    "rotate_webhook": _CONFIGURE,
    "disable_webhook": _CONFIGURE,
    "enable_webhook": _CONFIGURE,
    "delete_webhook": _CONFIGURE,
    "ping_webhook": _OPERATE,
    "list_webhook_messages": _OPERATE,
    "resend_webhook_message": _OPERATE,
    "accept_changes": _PUBLIC,
    "accept_hints": _PUBLIC,
    "accept_list": _STATE,
    "judge_list": _STATE,
    "finish_snapshot": _STATE,
    "state_driver": _STATE,
    "list_drivers": _READ,
    "show_driver": _READ,
    "review_erasure": _ERASE,
    "erase_driver": _ERASE,
    "list_held_deletes": _READ,
    "judge_held_deletes": _APPROVE,
    "list_issues": _READ,
    "list_issue_groups": _READ,
    "retry_parked": _OPERATE,
    "list_rekeyings": _READ,
    "approve_rekeyings": _APPROVE,
    "make_plan": _READ,
    "apply_plan": _OPERATE,
    "make_undo_plan": _READ,
    "apply_undo": _OPERATE,
    "run_backtest": _READ,
    "make_capsule": _STATE,
    "show_reconciliation": _READ,
    "request_reconciliation": _OPERATE,
    "list_reconciliations": _READ,
    "list_found_drivers": _READ,
    "show_services": _WATCH,
    "show_progress": _WATCH,
    "show_overview": _SOMEWHERE,
    "show_status": _READ,
    "list_links": _READ,
    "list_events": _READ,
    "export_events": _OPERATE,
    "export_events_without_personal_data": _READ,
    "list_profile_keys": _OPEN,
    "show_encryption": _WATCH,
    "rotate_master": _ADMINISTER,
    "verify_logs": _WATCH,
    "prove_event": _REPAIR,
    "list_archives": _WATCH,
    "show_journal": _READ,
    "explain_driver": _READ,
    "compare_drivers": _READ,
    "find_mismatches": _READ,
    "trace_id": _READ,
    "list_letters": _REPAIR,
    "count_letters": _WATCH,
    "list_letter_groups": _WATCH,
    "show_letter": _REPAIR,
    "show_outcome": _REPAIR,
    "discard_letter": _REPAIR,
    "resubmit_letter": _REPAIR,
    "resubmit_letters": _REPAIR,
    "create_key": _ADMINISTER,
    "list_keys": _ADMINISTER,
    "revoke_key": _ADMINISTER,
    "show_principal": _SOMEWHERE,
    "make_sign_in_link": _ADMINISTER,
    "sign_in": _PUBLIC,
    "sign_out": _PUBLIC,
    "begin_login": _PUBLIC,
    "end_login": _PUBLIC,
    "show_start": _PUBLIC,
    "console.redirect_to_overview": _SOMEWHERE,
    "console.show_overview": _SOMEWHERE,
    "console.stream_changes": _SOMEWHERE,
    "console.show_file": _PUBLIC,
    "console.show_accounts": _SOMEWHERE,
    "console.show_settings": _READ,
    "console.add_account_of_page": _ADMINISTER,
    "console.set_people_of_page": _on_account(Role.ACCOUNT_MANAGER, Role.ADMIN),
    "console.set_account_mode": _CONFIGURE,
    "console.set_time": _CONFIGURE,
    "console.store_credentials": _CONFIGURE,
    "console.remove_credentials": _CONFIGURE,
    "console.check_credentials": _CONFIGURE,
    "console.show_push_secrets": _CONFIGURE,
    "console.create_push_secret": _CONFIGURE,
    "console.rotate_push_secret": _CONFIGURE,
    "console.revoke_push_secret": _CONFIGURE,
    "console.show_webhooks": _OPERATE,
    "console.create_webhook_of_page": _CONFIGURE,
    "console.rotate_webhook_of_page": _CONFIGURE,
    "console.turn_webhook": _CONFIGURE,
    "console.delete_webhook_of_page": _CONFIGURE,
    "console.ping_webhook_of_page": _OPERATE,
    "console.show_webhook_messages": _OPERATE,
    "console.resend_message_of_page": _OPERATE,
    "console.show_keys": _ADMINISTER,
    "console.create_api_key": _ADMINISTER,
    "console.revoke_api_key": _ADMINISTER,
    "console.show_letters": _REPAIR,
    "console.show_letter_page": _REPAIR,
    "console.resubmit_letter_of_page": _REPAIR,
    "console.resubmit_group": _REPAIR,
    "console.drop_letter": _REPAIR,
    "console.drop_group": _REPAIR,
    "console.show_sync": _READ,
    "console.switch_sync": _TURN,
    "console.allow": _ALLOW,
    "console.show_plan": _READ,
    "console.apply_plan_of_page": _OPERATE,
    "console.show_applying": _OPERATE,
    "console.stream_progress": _READ,
    "console.show_drivers": _READ,
    "console.show_driver_page": _READ,
    "console.retry_driver": _OPERATE,
    "console.reconcile_driver": _OPERATE,
    "console.show_approvals": _READ,
    "console.judge": _APPROVE,
    "console.approve_identifiers": _APPROVE,
    "console.show_issues": _READ,
    "console.retry": _OPERATE,
    "console.show_drift": _READ,
    "console.show_history": _READ,
    "console.reconcile": _OPERATE,
    "console.show_events": _READ,
}
"""What each route takes, by its name.

Sync is turned on and off by the word of the Master User, which an admin may relay; pushed changes and hints are signed.
"""

_ORDER = (Role.MASTER_USER, Role.ACCOUNT_MANAGER, Role.APPROVER, Role.OPERATOR, Role.VIEWER, Role.ADMIN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who makes a request, and the role in which they may. `if_match` is what they saw, as the header says it.

    `is_keyed`: the request has an Idempotency-Key.
    """

    principal: Principal
    role: Role
    if_match: str = ""
    is_keyed: bool = False

    def check_seen(self, tag: str) -> None:
        """Raise `NotAsSeen` where they saw something else than this; who names nothing takes it as it is."""
        if self.if_match and not {"*", f'"{tag}"'} & {each.strip() for each in self.if_match.split(",")}:
            raise NotAsSeen

    @classmethod
    def permitted(
        cls, principal: Principal, permission: Permission, account: Account | None, named: str | None
    ) -> "Caller":
        """The caller in the first role that the route takes on the account that they have named. Raises `Forbidden`.

        A refusal does not say how the account is written: so they do not learn whether there is one.
        """
        if permission.scope is Scope.ANY:
            return cls(principal=principal, role=Role.OPERATOR if principal == THE_OPERATOR else Role.VIEWER)
        held = principal.roles_everywhere if account is None else principal.roles_on(account)
        role = next((each for each in _ORDER if each in held & permission.roles), None)
        if role is None:
            where = f"on {named}" if account else "on the whole installation"
            raise Forbidden(f"{principal.who} may not do this: it takes the role {permission} {where}")
        return cls(principal=principal, role=Role.OPERATOR if principal.kind is PrincipalKind.LOCAL else role)

    def asks(self, by: str | None, note: str = "") -> Asker:
        """Who asks, and in whose name: only an admin may name somebody else. Raises `NotPermitted`."""
        who = self.principal.who
        if by is None or by == who:
            return Asker(by=who, role=self.role, note=note)
        if Role.ADMIN not in self.principal.roles_everywhere:
            raise NotPermitted(f"{who} cannot ask in the name of {by}: only an admin can")
        return Asker(by=by, authenticated=who, note=note)
