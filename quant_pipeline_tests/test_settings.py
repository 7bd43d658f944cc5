"""Settings come from defaults, file and environment, and contradictions are refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from quant_pipeline.errors import SettingsError
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
