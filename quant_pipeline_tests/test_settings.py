"""Settings come from defaults, file and environment, and contradictions are refused in one sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from quant_pipeline.errors import SettingsError
from quant_pipeline.quant.signals import SIGNAL_NAMES, SIGNALS
from quant_pipeline.settings import load_settings


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("QUANT_HOME", "QUANT_IB_HOST", "QUANT_IB_PORT", "QUANT_CAPITAL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_the_defaults_are_the_specified_limits() -> None:
    settings = load_settings()
    risk = settings.risk
    assert (risk.max_positions, risk.max_risk_per_trade_pct, risk.max_total_risk_pct) == (100, 1.0, 20.0)
    assert (risk.max_position_pct, risk.max_utilization_pct, risk.sizing_capital) == (5.0, 90.0, "available")
    assert settings.embedded
    assert settings.capital_cap == 100_000
    assert not settings.live


def test_the_environment_wins_over_the_file_and_the_file_over_the_defaults(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "quant_pipeline.toml").write_text("capital = 50000\n[risk]\nmax_positions = 30\nmax_position_pct = 4\n")
    monkeypatch.setenv("QUANT_RISK__MAX_POSITIONS", "20")
    settings = load_settings()
    assert settings.capital_cap == 50_000
    assert settings.risk.max_positions == 20
    assert settings.risk.max_position_pct == 4


def test_a_broker_address_switches_the_embedded_gateway_and_its_capital_cap_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("QUANT_IB_HOST", "127.0.0.1")
    monkeypatch.setenv("QUANT_IB_PORT", "7497")
    settings = load_settings()
    assert not settings.embedded
    assert settings.capital_cap is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ib_port": 7497}, "set both ib_host and ib_port"),
        ({"live": True}, "live = true needs the account to trade to be named"),
        ({"live": True, "account": "U1"}, "the embedded gateway is paper only"),
        ({"risk": {"max_positons": 3}}, "The setting risk.max_positons is not known"),
        ({"risk": {"max_position_pct": 120}}, "The setting risk.max_position_pct cannot be used"),
        ({"risk": {"allow_duplicate_symbols": True}}, "The setting risk.allow_duplicate_symbols cannot be used"),
        ({"scoring": {"weights": {"momentum": 0.5}}}, "scoring.weights must add up to 1, they add up to 1.2"),
        ({"scoring": {"stop_atr_min": 3.0}}, "scoring.stop_atr_min must not be above scoring.stop_atr_max"),
        ({"scoring": {"stop_calm_ratio": 1.25}}, "scoring.stop_calm_ratio must be below scoring.stop_lively_ratio"),
        ({"scoring": {"odds_per_ten_points": 0.9}}, "The setting scoring.odds_per_ten_points cannot be used"),
        (
            {"scoring": {"signals": {"rsi_15": {"weight": 1}}}},
            "scoring.signals cannot be used: there is no signal rsi_15",
        ),
        ({"scoring": {"signals": {"rsi_7": {"wieght": 1}}}}, "The setting scoring.signals.rsi_7.wieght is not known"),
        (
            {"scoring": {"signals": {"rsi_7": {"weight": -1}}}},
            "The setting scoring.signals.rsi_7.weight cannot be used",
        ),
        (
            {"scoring": {"signals": {"rsi_7": {"weight": float("nan")}}}},
            "The setting scoring.signals.rsi_7.weight cannot",
        ),
        (
            {"scoring": {"signals": {"rsi_7": {"ramp": [[50, 0], [30, 100]]}}}},
            "scoring.signals.rsi_7.ramp cannot be used: the values of a ramp must rise, they are 50, 30",
        ),
        ({"scoring": {"signals": {"rsi_7": {"ramp": [[30, 0], [30, 100]]}}}}, "must rise, they are 30, 30"),
        ({"scoring": {"signals": {"rsi_7": {"ramp": [[30, 0]]}}}}, "a ramp needs two points or more"),
        (
            {"scoring": {"signals": {"rsi_7": {"ramp": [[30, 0], [50, 120]]}}}},
            "the strengths of a ramp lie between 0 and 100, one is 120",
        ),
        (
            {"scoring": {"signals": {"spread_pct": {"weight": 0}, "quote_imbalance": {"weight": 0}}}},
            "every signal of microstructure has the weight 0",
        ),
        ({"universe": {"price_bands": [10, 5]}}, "universe.price_bands must be rising"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_one_sentence(values: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        load_settings(**values)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_settings_file_that_is_not_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "quant_pipeline.toml").write_text("risk = [")
    with pytest.raises(SettingsError, match=r"quant_pipeline.toml is not valid TOML"):
        load_settings()


def test_the_decision_hash_follows_what_decides_and_nothing_else() -> None:
    base = load_settings().decision_hash
    assert load_settings().decision_hash == base
    assert load_settings(scoring={"threshold": 61}).decision_hash != base
    assert load_settings(capital=5_000).decision_hash != base
    assert load_settings(broker={"messages_per_second": 0}, gateway={"seed": 1}).decision_hash == base


def test_the_settings_load_without_the_libraries_of_arrays_and_frames() -> None:
    code = "import sys, quant_pipeline.settings; sys.exit(bool({'numpy', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_an_environment_variable_that_names_no_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANT_CAPTIAL", "5000")
    with pytest.raises(SettingsError, match="QUANT_CAPTIAL names no setting"):
        load_settings()


def test_overrides_win_over_the_environment_and_leave_the_rest_of_a_section_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("QUANT_HOME", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("QUANT_RISK__MAX_POSITIONS", "20")
    monkeypatch.setenv("QUANT_RISK__MAX_TOTAL_RISK_PCT", "7")
    settings = load_settings(home=tmp_path / "here", risk={"max_positions": 9})
    assert settings.home == tmp_path / "here"
    assert settings.risk.max_positions == 9
    assert settings.risk.max_total_risk_pct == 7


def test_a_switch_can_be_written_out_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANT_RISK__ALLOW_DUPLICATE_SYMBOLS", "false")
    assert load_settings().risk.allow_duplicate_symbols is False


def test_a_signal_can_be_changed_in_the_file_and_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "quant_pipeline.toml").write_text(
        "[scoring.signals.rsi_14]\nweight = 0.2\nramp = [[35, 0], [50, 50], [60, 100]]\n"
    )
    monkeypatch.setenv("QUANT_SCORING__SIGNALS__CMF_20__WEIGHT", "0.5")
    monkeypatch.setenv("QUANT_SCORING__SIGNALS__RSI_7__RAMP", "[[25, 100], [75, 0]]")
    signals = load_settings().scoring.signals
    assert signals["rsi_14"].ramp == ((35, 0), (50, 50), (60, 100))
    assert signals["rsi_7"].ramp == ((25, 100), (75, 0))
    assert (signals["rsi_14"].weight, signals["cmf_20"].weight, signals["cmf_20"].ramp) == (0.2, 0.5, None)


@pytest.mark.parametrize(
    "change",
    [
        {"signals": {"rsi_14": {"weight": 0.2}}},
        {"signals": {"rsi_14": {"ramp": [[35, 0], [65, 100]]}}},
        {"odds_per_ten_points": 1.3},
        {"stop_calm_ratio": 0.7},
        {"stop_lively_ratio": 1.3},
    ],
)
def test_every_parameter_of_a_score_changes_the_decision_hash(change: dict[str, object]) -> None:
    assert load_settings(scoring=change).decision_hash != load_settings().decision_hash


def test_what_is_recorded_of_the_settings_holds_every_ramp_and_makes_the_same_decisions_again() -> None:
    recorded = load_settings(scoring={"signals": {"rsi_14": {"weight": 0.2}}}).decision_parameters
    signals = recorded["scoring"]["signals"]  # pyright: ignore[reportIndexIssue]
    assert set(signals) == set(SIGNAL_NAMES)
    assert load_settings(scoring=recorded["scoring"]).decision_parameters == recorded


def test_a_list_that_is_not_json_in_the_environment_is_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANT_UNIVERSE__PRICE_BANDS", "0,10")
    with pytest.raises(SettingsError, match=r"QUANT_UNIVERSE variable .* written as JSON"):
        load_settings()


def test_saying_the_ramp_of_a_signal_again_decides_nothing_new() -> None:
    ramp = next(signal.ramp for signal in SIGNALS if signal.indicator == "rsi_14")
    again = load_settings(scoring={"signals": {"rsi_14": {"ramp": [list(knot) for knot in ramp]}}})
    assert again.decision_hash == load_settings().decision_hash
