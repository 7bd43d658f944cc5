"""Every limit, weight, threshold and address, typed, in one object.

Values come, in rising order of precedence, from the defaults below, from ``quant_pipeline.toml`` (in the working
directory or ``QUANT_HOME``) and from ``QUANT_*`` environment variables (``QUANT_RISK__MAX_POSITIONS=40``). Nothing else
in the package reads the environment or carries a number that a trader would want to change. No behaviour belongs here
beyond checking that the values make sense together.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextvars import ContextVar
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableVariable

from quant_pipeline.errors import SettingsError
from quant_pipeline.home import DEFAULT_HOME, HOME_VARIABLE, read_settings_file, settings_file
from quant_pipeline.paper_gateway.starting_values import DEFAULT_SEED, STARTING_CASH
from quant_pipeline.quant.signals import COMPONENTS, SIGNAL_NAMES, Ramp, signals_in_force

NOT_SETTINGS = frozenset({"QUANT_HISTORY"})  # where dbt finds the history
EMBEDDED_CAPITAL = STARTING_CASH

_overrides: ContextVar[dict[str, Any]] = ContextVar("overrides", default={})  # noqa: B039 - never changed in place

Percent = Annotated[float, Field(ge=0, le=100)]
Positive = Annotated[float, Field(gt=0)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class Section(BaseModel):
    """A group of settings: unknown names are refused, values cannot be changed after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class UniverseSettings(Section):
    """Which stocks a slot looks at."""

    size: int = Field(default=100, ge=1, le=500, description="How many of the most active stocks to keep")
    scan_code: str = Field(default="MOST_ACTIVE", description="IB scan code that orders the rows of a scan")
    location: str = Field(default="STK.US.MAJOR", description="IB scanner location")
    stock_type: str = Field(default="CORP", description="IB stock type filter: CORP leaves exchange-traded funds out")
    price_bands: tuple[float, ...] = Field(
        default=(0.0, 10.0, 25.0, 60.0, 150.0),
        description="Lower bounds of the price bands that are scanned one by one, since a scan returns 50 rows at most",
    )

    @model_validator(mode="after")
    def _bands_rise(self) -> Self:
        if not self.price_bands or list(self.price_bands) != sorted(set(self.price_bands)) or self.price_bands[0] < 0:
            raise ValueError("universe.price_bands must be rising, distinct and not negative")
        return self


class QualitySettings(Section):
    """What a stock must show before it is scored."""

    min_price: Positive = Field(default=5.0, description="The last price must be above this, in dollars")
    max_spread_pct: Positive = Field(
        default=0.15, description="Bid-ask spread must be below this, in percent of the mid"
    )
    max_quote_age_seconds: Positive = Field(default=60.0, description="An older quote is stale")
    min_history_bars: int = Field(default=60, ge=2, description="Completed daily bars a stock needs to be scored")


class ComponentWeights(Section):
    """Weights of the five components of a score; they add up to 1."""

    momentum: float = Field(default=0.30, ge=0, le=1)
    mean_reversion: float = Field(default=0.25, ge=0, le=1)
    volatility: float = Field(default=0.20, ge=0, le=1)
    volume: float = Field(default=0.15, ge=0, le=1)
    microstructure: float = Field(default=0.10, ge=0, le=1)

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        total = sum(self.model_dump().values())
        if abs(total - 1.0) > 1e-9:
            raise ValueError(f"scoring.weights must add up to 1, they add up to {total:g}")
        return self


class SignalSettings(Section):
    """What is changed of one signal of the score; what is left out stays as docs/signals.md has it."""

    weight: Annotated[Number, Field(ge=0)] | None = Field(
        default=None, description="Weight within its component; the weights of a component are brought to a sum of 1"
    )
    ramp: tuple[tuple[Number, Number], ...] | None = Field(
        default=None, description="Rising values of the indicator, each with the strength 0-100 it has for LONG"
    )

    @field_validator("ramp")
    @classmethod
    def _ramp_rises(cls, ramp: Ramp | None) -> Ramp | None:
        if ramp is None:
            return None
        values = [value for value, _ in ramp]
        if len(ramp) < 2:
            raise ValueError("a ramp needs two points or more, each a value and its strength")
        if any(later <= earlier for earlier, later in pairwise(values)):
            raise ValueError(f"the values of a ramp must rise, they are {', '.join(f'{value:g}' for value in values)}")
        for _, strength in ramp:
            if not 0 <= strength <= 100:
                raise ValueError(f"the strengths of a ramp lie between 0 and 100, one is {strength:g}")
        return ramp


class ScoringSettings(Section):
    """How indicators become a score, a direction and prices."""

    weights: ComponentWeights = ComponentWeights()
    signals: dict[str, SignalSettings] = Field(
        default={},
        description="Other weights and ramps of signals, by name: "
        "`[scoring.signals.rsi_14]` with `weight = 0.2` or `ramp = [[35, 0], [65, 100]]` (docs/signals.md)",
    )
    threshold: Percent = Field(default=60.0, description="Scores at or above this are offered to the risk manager")
    stop_atr_min: Positive = Field(default=1.5, description="Stop distance in ATRs when volatility is calm")
    stop_atr_max: Positive = Field(default=2.0, description="Stop distance in ATRs when volatility is high")
    stop_calm_ratio: Positive = Field(
        default=0.75, description="Range against its own year at and below which the stop is nearest"
    )
    stop_lively_ratio: Positive = Field(
        default=1.25, description="Range against its own year at and above which the stop is farthest"
    )
    reward_to_risk: Positive = Field(default=2.5, description="Target distance as a multiple of the stop distance")
    entry: Literal["touch", "mid"] = Field(
        default="touch",
        description="Limit entry at the price that trades now (ask for LONG, bid for SHORT) or at the mid",
    )
    odds_per_ten_points: float = Field(
        default=1.25,
        ge=1,
        le=10,
        description="Ten points of score multiply the odds of reaching the target by this; "
        "a modest edge by choice until a backtest has measured it",
    )
    key_signals: int = Field(default=10, ge=1, description="How many signals explain a score")

    @model_validator(mode="after")
    def _stops_ordered(self) -> Self:
        if self.stop_atr_min > self.stop_atr_max:
            raise ValueError("scoring.stop_atr_min must not be above scoring.stop_atr_max")
        if self.stop_calm_ratio >= self.stop_lively_ratio:
            raise ValueError("scoring.stop_calm_ratio must be below scoring.stop_lively_ratio")
        return self

    @field_validator("signals")
    @classmethod
    def _signals_known(cls, overrides: dict[str, SignalSettings]) -> dict[str, SignalSettings]:
        unknown = sorted(set(overrides) - set(SIGNAL_NAMES))
        if unknown:
            raise ValueError(f"there is no signal {unknown[0]}; docs/signals.md lists them")
        weights = dict.fromkeys(COMPONENTS, 0.0)
        for signal in signals_in_force(overrides):
            weights[signal.component] += signal.weight
        for component, weight in weights.items():
            if weight == 0.0:
                raise ValueError(
                    f"every signal of {component} has the weight 0; set scoring.weights.{component} to 0 instead"
                )
        return overrides


class RiskSettings(Section):
    """The limits no order may break. Percentages are of total capital."""

    max_positions: int = Field(default=100, ge=1)
    max_risk_per_trade_pct: Percent = Field(default=1.0, description="Loss at the stop of one position")
    max_total_risk_pct: Percent = Field(default=20.0, description="Loss if every stop is hit")
    max_position_pct: Percent = Field(default=5.0, description="Value of one symbol's position")
    max_utilization_pct: Percent = Field(default=90.0, description="Value of all positions and working entries")
    utilization_reserve_pct: Percent = Field(
        default=0.25,
        description="Kept free below max_utilization_pct when orders are sized, so that commissions and moving prices "
        "do not carry the book over it",
    )
    max_gross_exposure_pct: float = Field(
        default=100.0, ge=0, le=400, description="Long and short value together, working entries counted"
    )
    max_net_exposure_pct: Percent = Field(
        default=100.0, description="Long less short value, either way, working entries counted"
    )
    max_daily_loss_pct: Percent | None = Field(
        default=3.0,
        description="Loss of the day, realised and unrealised, above which no order is approved; also none while the "
        'day\'s figure is not known. "off" switches it off',
    )
    max_cluster_pct: Percent | None = Field(
        default=None,
        description="Value of the positions and working entries that move together, a chain of stocks each of which is "
        "correlated with the next in the direction it is traded; unset means no limit",
    )
    cluster_correlation: float = Field(
        default=0.8,
        gt=0,
        le=1,
        description="Correlation of daily returns, of completed bars, at which two move together",
    )
    cluster_bars: int = Field(default=60, ge=10, description="Daily returns the correlation is taken over")
    allow_duplicate_symbols: bool = Field(default=False, description="One position a symbol; not to be switched off")
    min_position_value: float = Field(
        default=100.0, ge=0, description="Smaller positions are not worth their commission"
    )
    sizing_capital: Literal["available", "total"] = Field(
        default="available",
        description="What the sizing percentages are taken of; the limits always hold against the total",
    )

    @field_validator("max_daily_loss_pct", "max_cluster_pct", mode="before")
    @classmethod
    def _off_is_no_limit(cls, limit: object) -> object:
        # Neither TOML nor the environment has a null.
        return None if isinstance(limit, str) and limit.strip().lower() in {"off", "none", "null"} else limit

    @field_validator("allow_duplicate_symbols")
    @classmethod
    def _never_twice(cls, allowed: bool) -> bool:
        if allowed:
            raise ValueError("a symbol is never held twice")
        return allowed


class ExecutionSettings(Section):
    """How orders are sent."""

    acknowledge_seconds: Positive = Field(
        default=10.0, description="How long to wait for the broker's word on what was sent"
    )
    max_quote_age_seconds: Positive = Field(
        default=300.0, description="No order on a quote older than this when it is sent"
    )
    max_clock_skew_seconds: Positive = Field(
        default=2.0, description="Skew between broker and machine that blocks live trading"
    )


class BrokerSettings(Section):
    """How the broker is talked to."""

    connect_seconds: Positive = Field(default=10.0, description="Time allowed for a connection to be ready")
    request_seconds: Positive = Field(default=20.0, description="Time allowed for one request to be answered")
    messages_per_second: int = Field(default=45, ge=0, description="Client throttle; IB allows 50. 0 switches it off")
    market_data_lines: int = Field(default=100, ge=1, description="Simultaneous quote subscriptions the account has")
    history_requests: int = Field(default=50, ge=1, description="Historical requests open at one time")
    quote_seconds: Positive = Field(default=4.0, description="How long to wait for a quote to be complete")
    history_days: int = Field(default=365, ge=30, description="Calendar days of daily bars kept per symbol")


class GatewaySettings(Section):
    """The embedded paper gateway."""

    seed: int = Field(default=DEFAULT_SEED, ge=0, description="Seed of the synthetic market")
    cash: Positive = Field(default=EMBEDDED_CAPITAL, description="Cash a new book starts with, in dollars")
    idle_minutes: Positive = Field(default=30.0, description="The embedded gateway ends after so long without a client")
    start_seconds: Positive = Field(default=30.0, description="Time allowed for the gateway to start")


class MonitoringSettings(Section):
    """What the monitoring panel shows."""

    top_positions: int = Field(default=10, ge=1, description="Positions listed in the panel, by profit and loss")


class RetentionSettings(Section):
    """How long frames are kept, and when the history is written anew."""

    keep_sessions: int | None = Field(
        default=None,
        ge=1,
        description="Recorded sessions whose large frames are kept: universe, quality_filter, working_orders, bars, "
        "indicators, scores. What an order was decided on is kept for ever, and so is lineage; unset keeps everything",
    )
    compact_above_pct: Percent = Field(
        default=20.0, description="The working file is written anew at the end of a day when more of it is unused"
    )


class MetricsSettings(Section):
    """What the ratios of the metrics are reckoned with."""

    risk_free_rate_pct: float = Field(
        default=0.0,
        ge=0,
        lt=100,
        description="Return a year that costs no risk, in percent; Sharpe and Sortino measure what is above it",
    )
    sessions_per_year: int = Field(
        default=252, ge=1, le=366, description="Sessions a year, by which daily figures become yearly ones"
    )


class Settings(BaseSettings):
    """All settings. Build one with ``load_settings`` and pass it on."""

    model_config = SettingsConfigDict(
        env_prefix="QUANT_", env_nested_delimiter="__", extra="forbid", frozen=True, validate_default=True
    )

    home: Path = Field(
        default=DEFAULT_HOME, description="Where history, journal, the paper book and Dagster's storage live"
    )
    ib_host: str | None = Field(
        default=None, description="Host of TWS or IB Gateway; unset means the embedded paper gateway"
    )
    ib_port: int | None = Field(default=None, ge=1, le=65535, description="Port of TWS or IB Gateway")
    ib_client_id: int = Field(
        default=17, ge=1, le=9990, description="First of the client ids in use; the next nine are ours too"
    )
    account: str | None = Field(default=None, description="The account to trade; needed when live is true")
    live: bool = Field(default=False, description="Arms trading on an account that is not a paper account")
    capital: float | None = Field(
        default=None,
        gt=0,
        description="Cap on the account's net liquidation value, in dollars; unset is 100000 on the embedded gateway, "
        "no cap elsewhere",
    )

    universe: UniverseSettings = UniverseSettings()
    quality: QualitySettings = QualitySettings()
    scoring: ScoringSettings = ScoringSettings()
    risk: RiskSettings = RiskSettings()
    execution: ExecutionSettings = ExecutionSettings()
    broker: BrokerSettings = BrokerSettings()
    gateway: GatewaySettings = GatewaySettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    metrics: MetricsSettings = MetricsSettings()
    retention: RetentionSettings = RetentionSettings()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.ib_host is None) != (self.ib_port is None):
            raise ValueError("set both ib_host and ib_port (QUANT_IB_HOST, QUANT_IB_PORT) or neither")
        if self.live and not self.account:
            raise ValueError("live = true needs the account to trade to be named (account, QUANT_ACCOUNT)")
        if self.live and self.embedded:
            raise ValueError("live = true needs ib_host and ib_port; the embedded gateway is paper only")
        return self

    @property
    def embedded(self) -> bool:
        """Whether the embedded paper gateway is the broker."""
        return self.ib_host is None

    @property
    def capital_cap(self) -> float | None:
        """The cap on net liquidation value in dollars, or None for no cap."""
        if self.capital is None and self.embedded:
            return EMBEDDED_CAPITAL
        return self.capital

    @property
    def decision_parameters(self) -> dict[str, object]:
        """The settings a decision depends on, as plain JSON values."""
        decisive = self.model_dump(mode="json", include={"quality", "scoring", "risk"})
        # All of them, changed or not: what is recorded then says by which ramps a score was made.
        decisive["scoring"]["signals"] = {
            signal.indicator: {
                "weight": signal.weight,
                "ramp": [[float(at), float(strength)] for at, strength in signal.ramp],
            }
            for signal in signals_in_force(self.scoring.signals)
        }
        return {**decisive, "capital_cap": self.capital_cap}

    @property
    def decision_hash(self) -> str:
        """Sixteen hex digits that change when a setting that decides changes."""
        canonical = json.dumps(self.decision_parameters, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Overrides over the environment over what is passed in, which is the settings file."""
        return InitSettingsSource(settings_cls, init_kwargs=_overrides.get()), env_settings, init_settings


def load_settings(**overrides: object) -> Settings:
    """Read the settings file and the environment.

    ``overrides`` win over both (for tests and command-line options). Raises ``SettingsError`` with one sentence that
    names the setting and what it must be.
    """
    home = Path(str(overrides.get("home") or os.environ.get(HOME_VARIABLE) or DEFAULT_HOME))
    _refuse_unknown_variables()
    values: dict[str, object] = {}
    path = settings_file(home)
    if path is not None:
        values = read_settings_file(path)
    token = _overrides.set(overrides)
    try:
        settings = Settings(**values)  # pyright: ignore[reportArgumentType]
    except ValidationError as error:
        raise SettingsError(_in_one_sentence(error)) from error
    except UnreadableVariable as error:
        raise SettingsError(_unreadable(error)) from error
    finally:
        _overrides.reset(token)
    return settings.model_copy(update={"home": settings.home.expanduser().absolute()})


def _refuse_unknown_variables() -> None:
    for variable in sorted(os.environ):
        section = variable.removeprefix("QUANT_").split("__")[0].lower()
        if variable.startswith("QUANT_") and section not in Settings.model_fields and variable not in NOT_SETTINGS:
            raise SettingsError(
                f"The environment variable {variable} names no setting; look it up in docs/settings.md."
            )


def _unreadable(error: UnreadableVariable) -> str:
    """A list or mapping in the environment that is not JSON; the library names only the section it belongs to."""
    section = str(error).split('"')[1] if '"' in str(error) else "?"
    return (
        f"A QUANT_{section.upper()} variable of the environment cannot be read: lists and mappings are written "
        "as JSON, such as [0, 10]."
    )


def _in_one_sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    reason = first["msg"].removeprefix("Value error, ")
    where = f"The setting {name}" if name else "The settings"
    more = f" ({error.error_count() - 1} more like it)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        return f"{where} is not known{more}; look it up in docs/settings.md."
    return f"{where} cannot be used: {reason}{more}."
