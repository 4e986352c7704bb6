"""The whole state of the Motive sandbox: companies, names taken, ids to give, journal."""

import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import count

from services.sandbox.clock import Now, iso_time
from services.sandbox.ids import Ids
from services.sandbox.journal import NO_EFFECT, Effect, Journal
from services.sandbox.motive.company import Company, TakenNames
from services.sandbox.motive.grants import Grant, Grants
from services.sandbox.motive.seed import CompanySeed, parsed_seed
from services.sandbox.motive.user import User, as_stored, effect_between


class MotiveState:
    """Several companies in one place, seeded from a JSON document; raises `SeedRefused` if that is no good."""

    def __init__(self, document: object, now: Now, first_id: int = 0) -> None:
        self.now = now
        self.user_ids = Ids(first_id)
        self.record_ids = Ids(first_id)
        self.journal = Journal("company")
        self.seed(document)

    def seed(self, document: object) -> None:
        """Replace everything. Raises `SeedRefused`."""
        self._seed, self._seeded_at = parsed_seed(document), iso_time(self.now())
        self.reset()

    def reset(self) -> None:
        """Go back to what was seeded last, and forget the journal; ids that were given meanwhile never come again."""
        self.order = random.Random(0)  # noqa: S311 - tests repeat what it draws
        self.names = TakenNames(self._seed.elsewhere)
        user_ids, record_ids = count(self._seed.first_free_user_id()), count(self._seed.first_free_record_id())
        self.companies = {
            company.api_key: self._built(company, user_ids, record_ids) for company in self._seed.companies
        }
        self.user_ids.leave_out(next(user_ids) - 1)
        self.record_ids.leave_out(next(record_ids) - 1)
        self.grants = Grants(grant for company in self._seed.companies for grant in company.built_grants())
        self.journal.forget()

    def store(self, company: Company, before: User | None, after: User) -> Effect:
        """Make a checked change true, and say what it did; nothing, for a test-mode key."""
        if company.test_mode or (before is None and company.assumptions.created_users == "not_there"):
            return effect_between(before, before) if before else NO_EFFECT
        effect = effect_between(before, after)
        if effect.changed:
            self.names.put(before, after)
            company.put(before, after, self.now())
        return effect

    def holders(self, company: Company, pair: tuple[str, str]) -> Sequence[User]:
        """The users by whom others may not be called so: of the company, of all companies, or nobody."""
        scope: Iterable[Company] = self.companies.values()
        if company.assumptions.unique_external_ids != "everywhere":
            scope = (company,) if company.assumptions.unique_external_ids == "in_company" else ()
        return [user for each in scope if (user := each.holder(*pair)) is not None]

    def shown(self) -> dict[str, object]:
        """Everything; it can be seeded again as it is."""
        companies = [_shown(company, self.grants.of_company(company.name)) for company in self.companies.values()]
        return {"companies": companies, "elsewhere": list(self._seed.elsewhere)}

    def _built(self, seed: CompanySeed, user_ids: Iterator[int], record_ids: Iterator[int]) -> Company:
        company = Company(name=seed.name, api_key=seed.api_key, test_mode=seed.test_mode, assumptions=seed.assumptions)
        for user_seed in seed.users:
            user = user_seed.user(user_ids, record_ids, self._seeded_at)
            self.names.put(None, user)
            company.put(None, user)
        return company


def _shown(company: Company, grants: Sequence[Grant]) -> dict[str, object]:
    return {
        "company": company.name,
        "api_key": company.api_key,
        "test_mode": company.test_mode,
        "assumptions": company.assumptions.model_dump(),
        "grants": [_shown_grant(grant) for grant in grants],
        "users": [as_stored(user) for user in company.all()],
    }


def _shown_grant(grant: Grant) -> dict[str, object]:
    return {
        "client_id": grant.client_id,
        "client_secret": grant.client_secret,
        "refresh_token": grant.refresh_token,
        "token_lifetime": grant.token_lifetime,
    }
