-- A history of layout version 1 as the program of then made it, with two slots in it. Never change it.
CREATE SCHEMA lineage;
CREATE SCHEMA current;
CREATE SCHEMA journal;
CREATE SEQUENCE lineage.materialization_ids START 7;
CREATE TABLE journal.events(id BIGINT, order_ref VARCHAR, "at" TIMESTAMP WITH TIME ZONE, kind VARCHAR, status VARCHAR,
    code BIGINT, "text" VARCHAR, perm_id BIGINT, filled DOUBLE, remaining DOUBLE, average_price DOUBLE, exec_id
    VARCHAR);
CREATE TABLE journal.fills(exec_id VARCHAR, order_ref VARCHAR, perm_id BIGINT, symbol VARCHAR, side VARCHAR, quantity
    DOUBLE, price DOUBLE, commission DOUBLE, filled_at TIMESTAMP WITH TIME ZONE, corrected_by VARCHAR);
CREATE TABLE journal.intents(order_ref VARCHAR, account VARCHAR, slot VARCHAR, symbol VARCHAR, leg VARCHAR, "action"
    VARCHAR, order_type VARCHAR, quantity DOUBLE, price DOUBLE, tif VARCHAR, parent_ref VARCHAR, materialization_id
    BIGINT, created_at TIMESTAMP WITH TIME ZONE, state VARCHAR, perm_id BIGINT, client_id BIGINT, order_id BIGINT,
    filled_quantity DOUBLE, average_fill_price DOUBLE, reason VARCHAR, updated_at TIMESTAMP WITH TIME ZONE);
CREATE TABLE lineage.inputs(materialization_id BIGINT NOT NULL, input_materialization_id BIGINT NOT NULL);
CREATE TABLE lineage.materializations(id BIGINT NOT NULL, asset VARCHAR NOT NULL, slot VARCHAR NOT NULL, run_id
    VARCHAR NOT NULL, code_version VARCHAR NOT NULL, settings_hash VARCHAR NOT NULL, data_hash VARCHAR NOT NULL,
    "rows" BIGINT NOT NULL, started_at TIMESTAMP WITH TIME ZONE NOT NULL, finished_at TIMESTAMP WITH TIME ZONE NOT
    NULL);
CREATE TABLE lineage.schema_version("version" INTEGER, since TIMESTAMP WITH TIME ZONE DEFAULT(now()));
CREATE TABLE lineage.settings(settings_hash VARCHAR NOT NULL, parameters JSON NOT NULL);
CREATE TABLE account(materialization_id BIGINT, slot VARCHAR, row_number INTEGER, account VARCHAR, net_liquidation
    DOUBLE, capital DOUBLE, deployed DOUBLE, available DOUBLE, realized_pnl DOUBLE, unrealized_pnl DOUBLE, daily_pnl
    DOUBLE, read_at TIMESTAMP WITH TIME ZONE);
CREATE TABLE bars(materialization_id BIGINT, slot VARCHAR, "source" VARCHAR, symbol VARCHAR, date DATE, open DOUBLE,
    high DOUBLE, low DOUBLE, "close" DOUBLE, volume DOUBLE, "partial" BOOLEAN, live BOOLEAN, gone BOOLEAN);
CREATE TABLE bars_frames(materialization_id BIGINT NOT NULL, "source" VARCHAR NOT NULL, symbol VARCHAR NOT NULL, place
    INTEGER NOT NULL, first_date DATE NOT NULL, last_date DATE NOT NULL, live_from DATE, "rows" INTEGER NOT NULL);
CREATE TABLE executions(materialization_id BIGINT, slot VARCHAR, row_number INTEGER, order_ref VARCHAR, symbol
    VARCHAR, leg VARCHAR, "action" VARCHAR, order_type VARCHAR, price DOUBLE, quantity BIGINT, perm_id BIGINT, status
    VARCHAR, filled_quantity DOUBLE, average_fill_price DOUBLE, outcome VARCHAR, reason VARCHAR);
CREATE TABLE fills(materialization_id BIGINT, slot VARCHAR, row_number INTEGER, exec_id VARCHAR, order_ref VARCHAR,
    perm_id BIGINT, symbol VARCHAR, side VARCHAR, quantity DOUBLE, price DOUBLE, commission DOUBLE, filled_at
    TIMESTAMP WITH TIME ZONE);
CREATE TABLE indicators(materialization_id BIGINT, slot VARCHAR, row_number INTEGER, symbol VARCHAR, rsi_7 DOUBLE,
    rsi_14 DOUBLE, rsi_21 DOUBLE, macd DOUBLE, macd_signal DOUBLE, macd_hist DOUBLE, macd_hist_atr DOUBLE, stoch_k
    DOUBLE, stoch_d DOUBLE, williams_r_14 DOUBLE, roc_5 DOUBLE, roc_10 DOUBLE, roc_20 DOUBLE, adx_14 DOUBLE,
    plus_di_14 DOUBLE, minus_di_14 DOUBLE, di_spread_14 DOUBLE, atr_14 DOUBLE, atr_21 DOUBLE, atr_pct_14 DOUBLE,
    atr_trend DOUBLE, bb_upper DOUBLE, bb_lower DOUBLE, bb_width DOUBLE, bb_pct_b DOUBLE, volatility_20 DOUBLE,
    volatility_ratio DOUBLE, keltner_upper DOUBLE, keltner_middle DOUBLE, keltner_lower DOUBLE, keltner_position
    DOUBLE, donchian_upper DOUBLE, donchian_lower DOUBLE, donchian_position DOUBLE, ema_9 DOUBLE, ema_21 DOUBLE,
    ema_50 DOUBLE, ema_9_vs_21 DOUBLE, sma_20 DOUBLE, sma_50 DOUBLE, sma_200 DOUBLE, ema_21_slope DOUBLE, sma_20_slope
    DOUBLE, sma_50_slope DOUBLE, sma_200_slope DOUBLE, volume_ratio DOUBLE, volume_spike DOUBLE, cmf_20 DOUBLE,
    obv_slope_20 DOUBLE, mfi_14 DOUBLE, dollar_volume_20 DOUBLE, zscore_10 DOUBLE, zscore_20 DOUBLE, zscore_50 DOUBLE,
    price_vs_sma_20 DOUBLE, price_vs_sma_50 DOUBLE, price_vs_sma_200 DOUBLE, sma_50_distance DOUBLE, high_52w_pct
    DOUBLE, low_52w_pct DOUBLE, range_52w_position DOUBLE, spread_pct DOUBLE, quote_imbalance DOUBLE);
CREATE TABLE portfolio(materialization_id BIGINT, slot VARCHAR, row_number INTEGER, symbol VARCHAR, con_id BIGINT,
    quantity DOUBLE, average_price DOUBLE, market_price DOUBLE, market_value DOUBLE, unrealized_pnl DOUBLE);
CREATE TABLE portfolio_status(materialization_id BIGINT, slot VARCHAR, row_number INTEGER, capital DOUBLE, deployed
    DOUBLE, available DOUBLE, utilization_pct DOUBLE, positions BIGINT, long BIGINT, short BIGINT, working_entries
    BIGINT, total_risk DOUBLE, total_risk_pct DOUBLE, unrealized_pnl DOUBLE, daily_pnl DOUBLE, long_value DOUBLE,
    short_value DOUBLE, gross_exposure_pct DOUBLE, net_exposure_pct DOUBLE, open_positions STRUCT(symbol VARCHAR,
    direction VARCHAR, quantity DOUBLE, entry DOUBLE, "current" DOUBLE, stop DOUBLE, "target" DOUBLE, unrealized_pnl
    DOUBLE, unrealized_pct DOUBLE)[], observed_at TIMESTAMP WITH TIME ZONE);
CREATE TABLE quality_filter(materialization_id BIGINT, slot VARCHAR, row_number INTEGER, symbol VARCHAR, price DOUBLE,
    spread_pct DOUBLE, passed BOOLEAN, reason VARCHAR);
CREATE TABLE quotes(materialization_id BIGINT, slot VARCHAR, row_number INTEGER, symbol VARCHAR, bid DOUBLE, ask
    DOUBLE, "last" DOUBLE, bid_size DOUBLE, ask_size DOUBLE, open DOUBLE, high DOUBLE, low DOUBLE, previous_close
    DOUBLE, volume DOUBLE, halted BOOLEAN, shortable BOOLEAN, quoted_at TIMESTAMP WITH TIME ZONE, observed_at
    TIMESTAMP WITH TIME ZONE);
CREATE TABLE scores(materialization_id BIGINT, slot VARCHAR, row_number INTEGER, symbol VARCHAR, direction VARCHAR,
    momentum_score DOUBLE, mean_reversion_score DOUBLE, volatility_score DOUBLE, volume_score DOUBLE,
    microstructure_score DOUBLE, total_score DOUBLE, opposite_score DOUBLE, entry_price DOUBLE, stop_price DOUBLE,
    target_price DOUBLE, atr DOUBLE, win_probability DOUBLE, expected_return_pct DOUBLE, confidence DOUBLE,
    key_signals STRUCT("name" VARCHAR, "value" DOUBLE, contribution DOUBLE, "text" VARCHAR)[], missing_signals
    VARCHAR[], settings_hash VARCHAR);
CREATE TABLE sized_orders(materialization_id BIGINT, slot VARCHAR, row_number INTEGER, symbol VARCHAR, direction
    VARCHAR, quantity BIGINT, entry_price DOUBLE, stop_price DOUBLE, target_price DOUBLE, risk_amount DOUBLE,
    position_value DOUBLE, approved BOOLEAN, reason VARCHAR, order_ref VARCHAR);
CREATE TABLE universe(materialization_id BIGINT, slot VARCHAR, row_number INTEGER, rank BIGINT, symbol VARCHAR, con_id
    BIGINT, exchange VARCHAR, scan_code VARCHAR);
CREATE TABLE working_orders(materialization_id BIGINT, slot VARCHAR, row_number INTEGER, perm_id BIGINT, order_ref
    VARCHAR, parent_perm_id BIGINT, client_id BIGINT, symbol VARCHAR, "action" VARCHAR, order_type VARCHAR, price
    DOUBLE, quantity DOUBLE, remaining DOUBLE, status VARCHAR);
CREATE VIEW lineage.latest AS SELECT asset, slot, max(id) AS materialization_id FROM lineage.materializations GROUP BY
    asset, slot;
CREATE VIEW "current".account AS SELECT asset_rows.materialization_id, asset_rows.slot, asset_rows.row_number,
    asset_rows.account, asset_rows.net_liquidation, asset_rows.capital, asset_rows.deployed, asset_rows.available,
    asset_rows.realized_pnl, asset_rows.unrealized_pnl, asset_rows.daily_pnl, asset_rows.read_at FROM main.account AS
    asset_rows SEMI JOIN (SELECT materialization_id FROM lineage.latest WHERE (asset = 'account')) AS newest USING
    (materialization_id);
CREATE VIEW "current".bars AS SELECT materialization_id, slot, "source", symbol, date, open, high, low, "close",
    volume, "partial" FROM main.bars SEMI JOIN (SELECT "source", symbol, date, max(materialization_id) AS
    materialization_id FROM main.bars GROUP BY ALL) AS newest USING (materialization_id, "source", symbol, date) WHERE
    (NOT gone);
CREATE VIEW "current".executions AS SELECT asset_rows.materialization_id, asset_rows.slot, asset_rows.row_number,
    asset_rows.order_ref, asset_rows.symbol, asset_rows.leg, asset_rows."action", asset_rows.order_type,
    asset_rows.price, asset_rows.quantity, asset_rows.perm_id, asset_rows.status, asset_rows.filled_quantity,
    asset_rows.average_fill_price, asset_rows.outcome, asset_rows.reason FROM main.executions AS asset_rows SEMI JOIN
    (SELECT materialization_id FROM lineage.latest WHERE (asset = 'executions')) AS newest USING (materialization_id);
CREATE VIEW "current".fills AS SELECT asset_rows.materialization_id, asset_rows.slot, asset_rows.row_number,
    asset_rows.exec_id, asset_rows.order_ref, asset_rows.perm_id, asset_rows.symbol, asset_rows.side,
    asset_rows.quantity, asset_rows.price, asset_rows.commission, asset_rows.filled_at FROM main.fills AS asset_rows
    SEMI JOIN (SELECT materialization_id FROM lineage.latest WHERE (asset = 'fills')) AS newest USING
    (materialization_id);
CREATE VIEW "current".indicators AS SELECT asset_rows.materialization_id, asset_rows.slot, asset_rows.row_number,
    asset_rows.symbol, asset_rows.rsi_7, asset_rows.rsi_14, asset_rows.rsi_21, asset_rows.macd,
    asset_rows.macd_signal, asset_rows.macd_hist, asset_rows.macd_hist_atr, asset_rows.stoch_k, asset_rows.stoch_d,
    asset_rows.williams_r_14, asset_rows.roc_5, asset_rows.roc_10, asset_rows.roc_20, asset_rows.adx_14,
    asset_rows.plus_di_14, asset_rows.minus_di_14, asset_rows.di_spread_14, asset_rows.atr_14, asset_rows.atr_21,
    asset_rows.atr_pct_14, asset_rows.atr_trend, asset_rows.bb_upper, asset_rows.bb_lower, asset_rows.bb_width,
    asset_rows.bb_pct_b, asset_rows.volatility_20, asset_rows.volatility_ratio, asset_rows.keltner_upper,
    asset_rows.keltner_middle, asset_rows.keltner_lower, asset_rows.keltner_position, asset_rows.donchian_upper,
    asset_rows.donchian_lower, asset_rows.donchian_position, asset_rows.ema_9, asset_rows.ema_21, asset_rows.ema_50,
    asset_rows.ema_9_vs_21, asset_rows.sma_20, asset_rows.sma_50, asset_rows.sma_200, asset_rows.ema_21_slope,
    asset_rows.sma_20_slope, asset_rows.sma_50_slope, asset_rows.sma_200_slope, asset_rows.volume_ratio,
    asset_rows.volume_spike, asset_rows.cmf_20, asset_rows.obv_slope_20, asset_rows.mfi_14,
    asset_rows.dollar_volume_20, asset_rows.zscore_10, asset_rows.zscore_20, asset_rows.zscore_50,
    asset_rows.price_vs_sma_20, asset_rows.price_vs_sma_50, asset_rows.price_vs_sma_200, asset_rows.sma_50_distance,
    asset_rows.high_52w_pct, asset_rows.low_52w_pct, asset_rows.range_52w_position, asset_rows.spread_pct,
    asset_rows.quote_imbalance FROM main.indicators AS asset_rows SEMI JOIN (SELECT materialization_id FROM
    lineage.latest WHERE (asset = 'indicators')) AS newest USING (materialization_id);
CREATE VIEW "current".portfolio AS SELECT asset_rows.materialization_id, asset_rows.slot, asset_rows.row_number,
    asset_rows.symbol, asset_rows.con_id, asset_rows.quantity, asset_rows.average_price, asset_rows.market_price,
    asset_rows.market_value, asset_rows.unrealized_pnl FROM main.portfolio AS asset_rows SEMI JOIN (SELECT
    materialization_id FROM lineage.latest WHERE (asset = 'portfolio')) AS newest USING (materialization_id);
CREATE VIEW "current".portfolio_status AS SELECT asset_rows.materialization_id, asset_rows.slot,
    asset_rows.row_number, asset_rows.capital, asset_rows.deployed, asset_rows.available, asset_rows.utilization_pct,
    asset_rows.positions, asset_rows.long, asset_rows.short, asset_rows.working_entries, asset_rows.total_risk,
    asset_rows.total_risk_pct, asset_rows.unrealized_pnl, asset_rows.daily_pnl, asset_rows.long_value,
    asset_rows.short_value, asset_rows.gross_exposure_pct, asset_rows.net_exposure_pct, asset_rows.open_positions,
    asset_rows.observed_at FROM main.portfolio_status AS asset_rows SEMI JOIN (SELECT materialization_id FROM
    lineage.latest WHERE (asset = 'portfolio_status')) AS newest USING (materialization_id);
CREATE VIEW "current".quality_filter AS SELECT asset_rows.materialization_id, asset_rows.slot, asset_rows.row_number,
    asset_rows.symbol, asset_rows.price, asset_rows.spread_pct, asset_rows.passed, asset_rows.reason FROM
    main.quality_filter AS asset_rows SEMI JOIN (SELECT materialization_id FROM lineage.latest WHERE (asset =
    'quality_filter')) AS newest USING (materialization_id);
CREATE VIEW "current".quotes AS SELECT asset_rows.materialization_id, asset_rows.slot, asset_rows.row_number,
    asset_rows.symbol, asset_rows.bid, asset_rows.ask, asset_rows."last", asset_rows.bid_size, asset_rows.ask_size,
    asset_rows.open, asset_rows.high, asset_rows.low, asset_rows.previous_close, asset_rows.volume, asset_rows.halted,
    asset_rows.shortable, asset_rows.quoted_at, asset_rows.observed_at FROM main.quotes AS asset_rows SEMI JOIN
    (SELECT materialization_id FROM lineage.latest WHERE (asset = 'quotes')) AS newest USING (materialization_id);
CREATE VIEW "current".scores AS SELECT asset_rows.materialization_id, asset_rows.slot, asset_rows.row_number,
    asset_rows.symbol, asset_rows.direction, asset_rows.momentum_score, asset_rows.mean_reversion_score,
    asset_rows.volatility_score, asset_rows.volume_score, asset_rows.microstructure_score, asset_rows.total_score,
    asset_rows.opposite_score, asset_rows.entry_price, asset_rows.stop_price, asset_rows.target_price, asset_rows.atr,
    asset_rows.win_probability, asset_rows.expected_return_pct, asset_rows.confidence, asset_rows.key_signals,
    asset_rows.missing_signals, asset_rows.settings_hash FROM main.scores AS asset_rows SEMI JOIN (SELECT
    materialization_id FROM lineage.latest WHERE (asset = 'scores')) AS newest USING (materialization_id);
CREATE VIEW "current".sized_orders AS SELECT asset_rows.materialization_id, asset_rows.slot, asset_rows.row_number,
    asset_rows.symbol, asset_rows.direction, asset_rows.quantity, asset_rows.entry_price, asset_rows.stop_price,
    asset_rows.target_price, asset_rows.risk_amount, asset_rows.position_value, asset_rows.approved,
    asset_rows.reason, asset_rows.order_ref FROM main.sized_orders AS asset_rows SEMI JOIN (SELECT materialization_id
    FROM lineage.latest WHERE (asset = 'sized_orders')) AS newest USING (materialization_id);
CREATE VIEW "current".universe AS SELECT asset_rows.materialization_id, asset_rows.slot, asset_rows.row_number,
    asset_rows.rank, asset_rows.symbol, asset_rows.con_id, asset_rows.exchange, asset_rows.scan_code FROM
    main.universe AS asset_rows SEMI JOIN (SELECT materialization_id FROM lineage.latest WHERE (asset = 'universe'))
    AS newest USING (materialization_id);
CREATE VIEW "current".working_orders AS SELECT asset_rows.materialization_id, asset_rows.slot, asset_rows.row_number,
    asset_rows.perm_id, asset_rows.order_ref, asset_rows.parent_perm_id, asset_rows.client_id, asset_rows.symbol,
    asset_rows."action", asset_rows.order_type, asset_rows.price, asset_rows.quantity, asset_rows.remaining,
    asset_rows.status FROM main.working_orders AS asset_rows SEMI JOIN (SELECT materialization_id FROM lineage.latest
    WHERE (asset = 'working_orders')) AS newest USING (materialization_id);
CREATE MACRO main.bars_as_of(as_of_slot) AS TABLE
    WITH seen AS (
        SELECT bars_frames.* FROM main.bars_frames SEMI JOIN (
            SELECT max_by(id, (slot, id)) AS materialization_id FROM lineage.materializations
            WHERE asset = 'bars' AND slot <= as_of_slot) AS newest USING (materialization_id)),
    newest AS (
        SELECT any_value(place) AS place, source, symbol, date, max(bars.materialization_id) AS materialization_id
        FROM main.bars JOIN seen USING (source, symbol)
        WHERE bars.materialization_id <= seen.materialization_id AND date <= last_date
            AND date >= CASE WHEN live THEN live_from ELSE first_date END
        GROUP BY source, symbol, date)
    SELECT bars.* EXCLUDE (live, gone) FROM main.bars JOIN newest USING (source, symbol, date, materialization_id)
    WHERE NOT gone ORDER BY place, date;
INSERT INTO journal."events" VALUES (1, '2026-11-20T10:15:AAPL:entry', '2026-11-20T15:16:01.000005+00', 'planned',
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO journal."events" VALUES (2, '2026-11-20T10:15:MSFT:entry', '2026-11-20T15:16:01.000005+00', 'planned',
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO journal."events" VALUES (3, '2026-11-20T10:15:AAPL:entry', '2026-11-20T15:16:01.000005+00', 'sending',
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO journal."events" VALUES (4, '2026-11-20T10:15:AAPL:entry', '2026-11-20T15:16:01.000005+00', 'fill', NULL,
    NULL, NULL, 77, 30.0, NULL, 150.0, 'e.1.01');
INSERT INTO journal."events" VALUES (5, '2026-11-20T10:15:AAPL:entry', '2026-11-20T15:16:01.000005+00', 'fill', NULL,
    NULL, NULL, 77, 30.0, NULL, 149.0, 'e.1.02');
INSERT INTO journal."events" VALUES (6, '2026-11-20T10:15:AAPL:entry', '2026-11-20T15:16:01.000005+00', 'fill', NULL,
    NULL, NULL, 77, 60.0, NULL, 150.0, 'e.2.01');
INSERT INTO journal."events" VALUES (7, NULL, '2026-11-20T15:16:01.000005+00', 'fill', NULL, NULL, NULL, 77, 5.0,
    NULL, 150.0, 'm.1.01');
INSERT INTO journal."fills" VALUES ('e.1.01', '2026-11-20T10:15:AAPL:entry', 77, 'AAPL', 'BUY', 30.0, 150.0, 1.0,
    '2026-11-20T15:16:01.000005+00', 'e.1.02');
INSERT INTO journal."fills" VALUES ('e.1.02', '2026-11-20T10:15:AAPL:entry', 77, 'AAPL', 'BUY', 30.0, 149.0, 1.0,
    '2026-11-20T15:16:01.000005+00', NULL);
INSERT INTO journal."fills" VALUES ('e.2.01', '2026-11-20T10:15:AAPL:entry', 77, 'AAPL', 'BUY', 60.0, 150.0, NULL,
    '2026-11-20T15:16:01.000005+00', NULL);
INSERT INTO journal."fills" VALUES ('m.1.01', NULL, 77, 'AAPL', 'BUY', 5.0, 150.0, 1.0,
    '2026-11-20T15:16:01.000005+00', NULL);
INSERT INTO journal."intents" VALUES ('2026-11-20T10:15:AAPL:entry', 'DU1', '2026-11-20T10:15', 'AAPL', 'entry',
    'BUY', 'LMT', 90.0, 150.25, 'DAY', NULL, 4, '2026-11-20T15:16:01.000005+00', 'filled', NULL, 18, 5, 90.0,
    149.66666666666666, NULL, '2026-11-20T15:16:01.000005+00');
INSERT INTO journal."intents" VALUES ('2026-11-20T10:15:MSFT:entry', 'DU1', '2026-11-20T10:15', 'MSFT', 'entry',
    'BUY', 'LMT', 90.0, 150.25, 'DAY', NULL, 17, '2026-11-20T15:16:01.000005+00', 'planned', NULL, NULL, NULL, 0.0,
    NULL, NULL, '2026-11-20T15:16:01.000005+00');
INSERT INTO lineage."inputs" VALUES (4, 1);
INSERT INTO lineage."inputs" VALUES (4, 2);
INSERT INTO lineage."materializations" VALUES (1, 'quality_filter', '2026-11-20T10:15', 'run', '1', 'abc',
    '4341d1b0d90dfde3105e0f7bece75032', 2, '2026-11-20T15:15:00.123456+00', '2026-11-20T15:17:57.259222+00');
INSERT INTO lineage."materializations" VALUES (2, 'bars', '2026-11-20T10:15', 'run', '1', 'abc',
    'bcb4b4881bdfafcdc4ad5047af009966', 2, '2026-11-20T15:15:00.123456+00', '2026-11-20T15:17:57.300783+00');
INSERT INTO lineage."materializations" VALUES (3, 'bars', '2026-11-20T10:30', 'run', '1', 'abc',
    'a98b6809143248f9100b98e9ca638af8', 3, '2026-11-20T15:15:00.123456+00', '2026-11-20T15:17:57.339296+00');
INSERT INTO lineage."materializations" VALUES (4, 'sized_orders', '2026-11-20T10:15', 'run', '1', 'abc',
    '8fcc5eea2785b9844ba35d9430a3bc44', 1, '2026-11-20T15:15:00.123456+00', '2026-11-20T15:17:57.372055+00');
INSERT INTO lineage."materializations" VALUES (5, 'fills', '2026-11-20T10:15', 'run', '1', 'abc',
    '6bc98594a0ccd01629dd6e50ad9ece87', 4, '2026-11-20T15:15:00.123456+00', '2026-11-20T15:17:57.428010+00');
INSERT INTO lineage."schema_version" VALUES (1, '2026-11-20T15:17:57.087335+00');
INSERT INTO lineage."settings" VALUES ('abc', '{"risk": {"max_positions": 100}}');
INSERT INTO main."bars" VALUES (2, '2026-11-20T10:15', 'DU1', 'A', '2026-11-18', 10.0, 12.0, 9.0, 10.5, 1000.0, false,
    false, false);
INSERT INTO main."bars" VALUES (2, '2026-11-20T10:15', 'DU1', 'A', '2026-11-19', 10.0, 12.0, 9.0, 11.0, 1000.0, true,
    true, false);
INSERT INTO main."bars" VALUES (3, '2026-11-20T10:30', 'DU1', 'A', '2026-11-19', 10.0, 12.0, 9.0, 11.5, 1000.0, false,
    false, false);
INSERT INTO main."bars" VALUES (3, '2026-11-20T10:30', 'DU1', 'A', '2026-11-20', 10.0, 12.0, 9.0, 11.75, 1000.0, true,
    true, false);
INSERT INTO main."bars_frames" VALUES (2, 'DU1', 'A', 1, '2026-11-18', '2026-11-19', '2026-11-19', 2);
INSERT INTO main."bars_frames" VALUES (3, 'DU1', 'A', 1, '2026-11-18', '2026-11-20', '2026-11-20', 3);
INSERT INTO main."fills" VALUES (5, '2026-11-20T10:15', 0, 'e.1.01', '2026-11-20T10:15:AAPL:entry', 77, 'AAPL', 'BUY',
    30.0, 150.0, 1.0, '2026-11-20T15:16:01.000005+00');
INSERT INTO main."fills" VALUES (5, '2026-11-20T10:15', 1, 'e.1.02', '2026-11-20T10:15:AAPL:entry', 77, 'AAPL', 'BUY',
    30.0, 149.0, 1.0, '2026-11-20T15:16:01.000005+00');
INSERT INTO main."fills" VALUES (5, '2026-11-20T10:15', 2, 'e.2.01', '2026-11-20T10:15:AAPL:entry', 77, 'AAPL', 'BUY',
    60.0, 150.0, NULL, '2026-11-20T15:16:01.000005+00');
INSERT INTO main."fills" VALUES (5, '2026-11-20T10:15', 3, 'm.1.01', NULL, 77, 'AAPL', 'BUY', 5.0, 150.0, 1.0,
    '2026-11-20T15:16:01.000005+00');
INSERT INTO main."quality_filter" VALUES (1, '2026-11-20T10:15', 0, 'A', 10.0, 0.1, true, NULL);
INSERT INTO main."quality_filter" VALUES (1, '2026-11-20T10:15', 1, 'AAPL', 10.0, 0.1, true, NULL);
INSERT INTO main."sized_orders" VALUES (4, '2026-11-20T10:15', 0, 'AAPL', 'LONG', 90, 150.25, 145.8, 161.38, 400.5,
    13522.5, true, NULL, '2026-11-20T10:15:AAPL:entry');
