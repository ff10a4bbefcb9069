-- Made state and facts for benchmarks/day_step.py. Binds: newest, matrix_days, holders, evm, utxo.
-- Each statement ends with a semicolon at the end of a line.
UPDATE ops.asset SET tracked = false, start_block = 0
WHERE chain IN (:evm, :utxo) AND address <> '' AND symbol <> 'USDC';
UPDATE ops.asset SET start_block = 0 WHERE chain IN (:evm, :utxo);

-- Blocks: three days, 1,000 blocks a day on the account chain and 144 on the other.
INSERT INTO chain.block (chain, height, day, block_hash, parent_hash, header_at, block_at, tx_count,
    size_bytes, bits, gas_used, base_fee_per_gas, miner, traced)
SELECT chain, n, CAST(at AS date), sha256(CAST(chain || n AS bytea)),
    sha256(CAST(chain || (n - 1) AS bytea)), at, at, 10, 1000000, 386000000, 15000000, 10000000000,
    substring(sha256(CAST('m' || n % 50 AS bytea)) FOR 20), true
FROM (
    SELECT CAST(:evm AS text) AS chain, n,
        CAST(:newest AS date) - 2 + n * interval '86 seconds' AS at
    FROM generate_series(0, 2999) n
    UNION ALL
    SELECT CAST(:utxo AS text), n, CAST(:newest AS date) - 2 + n * interval '600 seconds'
    FROM generate_series(0, 431) n
) made;
INSERT INTO state.tip (chain, from_height, height, block_hash, day, final_height, undo_from)
SELECT DISTINCT ON (chain) chain, 0, height, block_hash, day, height, 0 FROM chain.block
ORDER BY chain, height DESC;

-- Holders of one token, as many of the coin, since the first day of the matrix.
INSERT INTO state.balance_delta (asset_id, day, address, delta, debits)
SELECT asset_id, CAST(:newest AS date) - CAST(:matrix_days AS int), CASE WHEN chain = :utxo
    THEN CAST('\x00' AS bytea) ELSE '' END || substring(sha256(CAST('h' || n AS bytea)) FOR 20),
    trunc(1e15 / (1 + n)) + 1e14, 0
FROM ops.asset, generate_series(0, CAST(:holders AS int) - 1) n
WHERE (chain = :evm AND symbol = 'USDC') OR (chain = :utxo AND address = '');

-- Each day 30,000 transfers of the token, 50,000 outputs made and 40,000 spent.
INSERT INTO chain.evm_transaction (chain, day, height, block_hash, tx_index, tx_hash, sender,
    recipient, created_contract, value, gas_used, gas_price, succeeded)
SELECT b.chain, b.day, b.height, b.block_hash, i, sha256(b.block_hash || CAST('t' || i AS bytea)),
    substring(sha256(CAST('h' || (b.height * 7919 + i * 104729) % CAST(:holders AS int) AS bytea)) FOR 20),
    substring(sha256(CAST('h' || (b.height * 31 + i) % CAST(:holders AS int) AS bytea)) FOR 20), NULL, 1000000,
    60000, 12000000000, true
FROM chain.block b, generate_series(0, 29) i WHERE b.chain = :evm;
INSERT INTO chain.token_transfer (chain, day, height, block_hash, tx_index, tx_hash, log_index,
    item_index, standard, token, sender, recipient, token_id, amount)
SELECT t.chain, t.day, t.height, t.block_hash, t.tx_index, t.tx_hash, t.tx_index, 0, 20, a.address,
    t.sender, t.recipient, NULL, trunc(1e13 / (1 + (t.height + t.tx_index * 37) % 100000)) + 1
FROM chain.evm_transaction t JOIN ops.asset a ON a.chain = t.chain AND a.symbol = 'USDC';
INSERT INTO state.balance_delta (asset_id, day, address, delta, debits)
SELECT a.asset_id, t.day, s.address, sum(s.amount), count(*) FILTER (WHERE s.amount < 0)
FROM chain.token_transfer t
JOIN ops.asset a ON a.chain = t.chain AND a.address = t.token
CROSS JOIN LATERAL (VALUES (t.recipient, t.amount), (t.sender, -t.amount)) s(address, amount)
GROUP BY 1, 2, 3;

INSERT INTO state.utxo (chain, txid, vout, value, address, created_height, created_at, coinbase)
SELECT :utxo, sha256(CAST('u' || n AS bytea)), 0, 1000000 + n,
    CAST('\x00' AS bytea) || substring(sha256(CAST('h' || n AS bytea)) FOR 20), 0,
    CAST(:newest AS date) - (n % CAST(:matrix_days AS int)) * interval '1 day', false
FROM generate_series(0, CAST(:holders AS int) - 1) n;
INSERT INTO chain.utxo_output (chain, day, height, block_hash, tx_index, vout, txid, value, address,
    spendable)
SELECT b.chain, b.day, b.height, b.block_hash, i / 3, i % 3,
    sha256(b.block_hash || CAST('o' || i / 3 AS bytea)),
    CASE WHEN i < 3 THEN 104166666 ELSE 1000000 + (b.height * 31 + i) % 1000000000 END,
    CAST('\x00' AS bytea) || substring(sha256(CAST('h' || (b.height * 977 + i) % CAST(:holders AS int)
    AS bytea)) FOR 20), true
FROM chain.block b, generate_series(0, 349) i WHERE b.chain = :utxo;
INSERT INTO state.spent_output (chain, day, height, block_hash, tx_index, input_index, prev_txid,
    prev_vout, value, address, created_height, created_at, coinbase, overwritten)
SELECT b.chain, b.day, b.height, b.block_hash, 1 + i / 3, i % 3,
    sha256(b.block_hash || CAST('p' || i AS bytea)), 0, 1100000000,
    CAST('\x00' AS bytea) || substring(sha256(CAST('h' || (b.height * 31 + i) % CAST(:holders AS int)
    AS bytea)) FOR 20), 0,
    b.block_at - (4 + (i * 7 + b.height) % (CAST(:matrix_days AS int) - 6)) * interval '1 day', false, false
FROM chain.block b, generate_series(0, 279) i WHERE b.chain = :utxo;
INSERT INTO state.balance_delta (asset_id, day, address, delta, debits)
SELECT a.asset_id, s.day, s.address, sum(s.amount), count(*) FILTER (WHERE s.amount < 0)
FROM (
    SELECT chain, day, address, value AS amount FROM chain.utxo_output
    UNION ALL SELECT chain, day, address, -value FROM state.spent_output
) s JOIN ops.asset a ON a.chain = s.chain AND a.address = ''
GROUP BY 1, 2, 3;

INSERT INTO state.balance (asset_id, address, balance)
SELECT asset_id, address, sum(delta) FROM state.balance_delta GROUP BY 1, 2 HAVING sum(delta) <> 0;
INSERT INTO state.utxo (chain, txid, vout, value, address, created_height, created_at, coinbase)
SELECT o.chain, o.txid, o.vout, o.value, o.address, o.height, b.block_at, o.tx_index = 0
FROM chain.utxo_output o JOIN chain.block b ON b.chain = o.chain AND b.height = o.height;

-- The matrix: every day spends of every day before it.
INSERT INTO state.created_output_daily (chain, day, coinbase, value, outputs)
SELECT :utxo, CAST(:newest AS date) - n, mint, CASE WHEN mint THEN 45000000000 ELSE 5000000000000 END,
    40000
FROM generate_series(3, CAST(:matrix_days AS int) - 1) n, unnest(ARRAY[true, false]) mint;
INSERT INTO state.created_output_daily (chain, day, coinbase, value, outputs)
SELECT chain, day, tx_index = 0, sum(value), count(*) FROM chain.utxo_output GROUP BY 1, 2, 3;
INSERT INTO state.spent_output_daily (chain, spend_day, created_day, coinbase, overwritten, value,
    outputs, coin_seconds, value_under_1h)
SELECT :utxo, CAST(:newest AS date) - n, CAST(:newest AS date) - m, false, false, 4000000000, 40,
    4000000000::numeric * (m - n) * 86400 + 3600, CASE WHEN m = n THEN 1000000 ELSE 0 END
FROM generate_series(3, CAST(:matrix_days AS int) - 1) n,
    generate_series(0, CAST(:matrix_days AS int) - 1) m WHERE m >= n;
INSERT INTO state.spent_output_daily (chain, spend_day, created_day, coinbase, overwritten, value,
    outputs, coin_seconds, value_under_1h)
SELECT s.chain, s.day, CAST(s.created_at AS date), false, false, sum(s.value), count(*),
    sum(s.value::numeric * CAST(extract(epoch FROM b.block_at - s.created_at) AS bigint)), 0
FROM state.spent_output s JOIN chain.block b ON b.chain = s.chain AND b.height = s.height
GROUP BY 1, 2, 3;
INSERT INTO state.spent_output_monthly (chain, spend_month, created_day, value, outputs,
    coin_seconds, value_days)
SELECT chain, CAST(date_trunc('month', spend_day) AS date), created_day, sum(value), sum(outputs),
    sum(coin_seconds), sum(value * (spend_day - date '1970-01-01'))
FROM state.spent_output_daily GROUP BY 1, 2, 3;

-- Ten thousand labelled addresses of five exchanges.
INSERT INTO chain.label (chain, address, category, entity, valid_from, known_from, source)
SELECT chain, CASE WHEN chain = :utxo THEN CAST('\x00' AS bytea) ELSE '' END
    || substring(sha256(CAST('h' || n * 97 AS bytea)) FOR 20), 'exchange', 'exchange-' || n % 5,
    date '2020-01-01', now(), 'made'
FROM generate_series(0, 9999) n, unnest(ARRAY[CAST(:evm AS text), CAST(:utxo AS text)]) chain;

-- Two years of prices of four assets, and a day of trades on one venue.
INSERT INTO market.reference_price (source, day, asset, priced_at, price_usd, known_from)
SELECT 'made', CAST(:newest AS date) - n, asset, CAST(:newest AS date) - n,
    CASE WHEN asset IN ('USDC', 'USDT') THEN 1 ELSE 20000 + n * 10 END, now()
FROM generate_series(0, CAST(:matrix_days AS int) - 1) n, unnest(ARRAY['BTC', 'ETH', 'USDC', 'USDT']) asset;
INSERT INTO market.asset_daily (source, day, asset, supply, transfer_value, realized_cap_usd,
    known_from)
SELECT 'made', CAST(:newest AS date) - n, asset, 20000000, 500000 + n, 3e11, now()
FROM generate_series(0, CAST(:matrix_days AS int) - 1) n, unnest(ARRAY['BTC', 'ETH', 'USDC', 'USDT']) asset;
INSERT INTO market.fx_rate (source, day, base, quote, rate, known_from)
SELECT 'made', CAST(:newest AS date) - n, 'USD', 'KRW', 1300 + n % 50, now()
FROM generate_series(0, 29) n;
INSERT INTO market.trade (venue, day, market, trade_id, traded_at, price, amount, side, known_from)
SELECT 'kraken', CAST(at AS date), market, CAST(n AS text), at, 50000 + n % 100, 0.5, 'buy', now()
FROM (SELECT n, CAST(:newest AS date) - 2 + n * interval '1 second' AS at
      FROM generate_series(0, 259199) n) t, unnest(ARRAY['BTC/USD', 'ETH/USD', 'USDC/USD']) market;
INSERT INTO market.funding_rate (venue, day, market, funded_at, rate, interval_hours,
    open_interest_usd, known_from)
SELECT 'binance', CAST(at AS date), 'BTC/USDT:USDT', at, 0.0001, 8, 1e9, now()
FROM (SELECT CAST(:newest AS date) - n * interval '8 hours' AS at FROM generate_series(0, 89) n) t;
INSERT INTO ops.fact_day (input, scope, day, version)
SELECT DISTINCT 'market.trade', venue, day, 1 FROM market.trade
UNION SELECT DISTINCT 'market.funding_rate', venue, day, 1 FROM market.funding_rate
UNION SELECT DISTINCT 'market.reference_price', 'global', day, 1 FROM market.reference_price
UNION SELECT DISTINCT 'market.asset_daily', 'global', day, 1 FROM market.asset_daily
UNION SELECT DISTINCT 'market.fx_rate', 'global', day, 1 FROM market.fx_rate
