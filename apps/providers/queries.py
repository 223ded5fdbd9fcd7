"""All reads of providers: by name, by the origin of a URL, their key."""

from __future__ import annotations

from typing import NamedTuple

from django.conf import settings

from apps.accounts.errors import Refused, not_found
from apps.accounts.models import Project
from apps.providers.crypto import decrypt
from apps.providers.models import ModelAlias, Provider, ProviderKind
from apps.providers.urls import origin_of

BUILTIN = "builtin"  # the provider of the scripted policies; never a row


class Price(NamedTuple):
    """USD per million tokens."""

    input: float
    output: float

    def cost_usd(self, prompt_tokens: int, completion_tokens: int) -> float:
        return (prompt_tokens * self.input + completion_tokens * self.output) / 1e6


class Alias(NamedTuple):
    """A base model id that stands for another one here."""

    requested: str
    resolved: str
    from_environment: bool  # the page cannot remove it


def list_providers(*, project: Project) -> list[Provider]:
    """The project's providers by name. Their keys stay encrypted: never show the field."""
    return list(Provider.objects.filter(project=project).order_by("name"))


def get_provider(*, project: Project, provider_id: int) -> Provider:
    """A provider of this project. Raises Refused(404)."""
    provider = Provider.objects.filter(project=project, pk=provider_id).first()
    if provider is None:
        raise not_found("provider", provider_id)
    return provider


def provider_by_name(*, project: Project, name: str) -> Provider:
    """The enabled provider that a config names. Raises Refused(404) that lists what exists."""
    rows = list(Provider.objects.filter(project=project, enabled=True).order_by("name"))
    for row in rows:
        if row.name == name:
            return row
    names = ", ".join([BUILTIN, *(row.name for row in rows)])
    raise Refused(
        "unknown_provider",
        f"There is no provider {name!r} in this project; there are: {names}.",
        "Add it under Settings → Providers.",
        status=404,
    )


def has_provider(project: Project, name: str) -> bool:
    """Whether the project has a provider of this name, turned on or off."""
    return Provider.objects.filter(project=project, name=name).exists()


def provider_for_url(
    *, project: Project, url: str, kind: ProviderKind = ProviderKind.OPENAI
) -> Provider:
    """The enabled provider at the origin of `url`, so that its key goes nowhere else.

    Raises Refused(422) for an origin that no provider has: a key is never sent to it.
    """
    origin = origin_of(url)
    rows = Provider.objects.filter(project=project, origin=origin, kind=kind, enabled=True)
    provider = rows.order_by("id").first()
    if provider is None:
        raise Refused(
            "unknown_origin",
            f"No provider of this project is at {origin}.",
            "Add one with this address under Settings → Providers, then launch again.",
            status=422,
        )
    return provider


def key_of(provider: Provider) -> str:
    """The provider's key in clear, for a request to its origin only; "" when it has none."""
    return decrypt(provider.encrypted_key)


def limits_of(provider: Provider) -> dict[str, float]:
    """Its limits as the engine reads them; 0 is no limit."""
    return {
        "max_concurrent": provider.max_concurrent,
        "rps": provider.requests_per_minute / 60,
        "timeout_s": provider.timeout_s,
        "max_tries": provider.max_tries,
    }


def price_of(provider: Provider, model: str) -> Price | None:
    """What the model's tokens cost there; None when nobody said."""
    row = provider.prices.get(model) or provider.prices.get("*")
    return Price(float(row["input"]), float(row["output"])) if row else None


def resolve_alias(*, project: Project, model: str) -> str:
    """The model id that stands for `model` here by the operator's choice; else `model` itself."""
    row = ModelAlias.objects.filter(project=project, requested=model).first()
    return row.resolved if row else settings.MODEL_ALIASES.get(model, model)


def list_aliases(*, project: Project) -> list[Alias]:
    """The operator's aliases by name; one that is set on the page wins over the environment's."""
    rows = ModelAlias.objects.filter(project=project).values_list("requested", "resolved")
    found = {name: Alias(name, to, True) for name, to in settings.MODEL_ALIASES.items()}
    found |= {name: Alias(name, to, False) for name, to in rows}
    return sorted(found.values())
