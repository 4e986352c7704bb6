"""Sends webhooks to receivers whose addresses account managers state, so to whatever place these may lead.

Source of the rules: https://cheatsheetseries.owasp.org/cheatsheets/Server_Side_Request_Forgery_Prevention_Cheat_Sheet.html
"""

from asyncio import get_running_loop
from collections.abc import Mapping
from time import time
from typing import Final

import httpx

from adapters.http.connection import AddressRefused, DirectConnection
from adapters.http.response import seconds_until
from domain.ports import WebhookAnswer
from domain.webhooks import is_loopback_address, is_public_address

_TIMEOUT: Final = httpx.Timeout(connect=5.0, read=15.0, write=10.0, pool=5.0)


class HttpReceivers:
    """Receivers by HTTPS, each message over a connection of its own, straight and without a proxy.

    The address that is connected to is checked, and not only the name: it has to be a public one. With
    `allows_private` it may be any, and an `http://` address has to be of this machine.
    """

    def __init__(self, *, allows_private: bool) -> None:
        self._allows_private = allows_private

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> WebhookAnswer:
        """See `WebhookReceivers.send`; the body of the answer is not read."""
        clock = get_running_loop().time
        began, status, detail, asked_for = clock(), 0, "", 0.0
        connection = DirectConnection(self._may_reach_locally if url.startswith("http://") else self._may_reach)
        try:
            request = httpx.Request(
                "POST", url, content=body, headers=headers, extensions={"timeout": _TIMEOUT.as_dict()}
            )
            response = await connection.handle_async_request(request)
            status, detail = response.status_code, f"answered {response.status_code}"
            asked_for = seconds_until(response.headers.get("Retry-After"), time()) or 0.0
        except AddressRefused:
            detail = "the host has an address that is not public: DRIVERLINK_WEBHOOKS_PRIVATE would allow it"
        except httpx.TimeoutException:
            detail = "no answer in time"
        except httpx.RequestError as failure:
            detail = f"not reached: {type(failure).__name__}"
        except (httpx.InvalidURL, UnicodeError):
            detail = "not reached: the address is not one of HTTP"
        finally:
            await connection.aclose()
        return WebhookAnswer(
            status=status, detail=detail, seconds=round(clock() - began, 3), retry_after=max(asked_for, 0.0)
        )

    def _may_reach(self, address: str) -> bool:
        return self._allows_private or is_public_address(address)

    def _may_reach_locally(self, address: str) -> bool:
        return self._allows_private and is_loopback_address(address)
