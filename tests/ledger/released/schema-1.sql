BEGIN TRANSACTION;
CREATE TABLE accounts (
        api TEXT NOT NULL,
        account TEXT NOT NULL,
        cycle_us BIGINT,
        PRIMARY KEY (api, account)
    ) WITHOUT ROWID
    ;
INSERT INTO "accounts" VALUES('https://elumenta.ru','7',1795348800250000);
CREATE TABLE budgets (
        no INTEGER PRIMARY KEY,
        api TEXT NOT NULL,
        account TEXT NOT NULL,
        per VARCHAR(8) NOT NULL,
        target TEXT NOT NULL,
        "user" TEXT NOT NULL,
        tag TEXT NOT NULL,
        ceiling BIGINT NOT NULL,
        from_us BIGINT NOT NULL,
        to_us BIGINT NOT NULL,
        spent BIGINT NOT NULL,
        held BIGINT NOT NULL,
        UNIQUE (api, account, per, target, "user", tag)
    );
INSERT INTO "budgets" VALUES(1,'https://elumenta.ru','7','month','','','',500,1795348800250000,1797940800250000,13,55);
CREATE TABLE calls (
        id INTEGER PRIMARY KEY,
        place_no INTEGER NOT NULL,
        model_no INTEGER NOT NULL,
        kernel_no INTEGER NOT NULL,
        status SMALLINT NOT NULL,
        flags SMALLINT NOT NULL,
        started_us BIGINT NOT NULL,
        ended_us BIGINT,
        quoted BIGINT NOT NULL,
        held BIGINT NOT NULL,
        tokens BIGINT NOT NULL,
        balance_after BIGINT,
        latency_us BIGINT,
        generation_no BIGINT,
        execution_count INTEGER,
        restored_from BIGINT,
        prompt_chars BIGINT NOT NULL,
        generation_name TEXT,
        attempts INTEGER NOT NULL,
        saved BIGINT NOT NULL,
        lease_us BIGINT
    );
INSERT INTO "calls" VALUES(1,1,1,1,3,0,1795348800250000,1795348804250000,13,0,13,270,4000000,4711,4,NULL,0,NULL,1,0,NULL);
INSERT INTO "calls" VALUES(2,1,2,1,1,0,1795348804250000,NULL,42,42,0,NULL,NULL,NULL,4,NULL,0,'gen_b',1,0,1795349704250000);
INSERT INTO "calls" VALUES(3,1,1,1,4,0,1795348804250000,1795348804250000,13,0,0,NULL,0,NULL,4,NULL,0,NULL,0,0,NULL);
INSERT INTO "calls" VALUES(4,1,1,1,2,0,1795348804250000,NULL,13,13,0,NULL,NULL,NULL,4,NULL,0,NULL,1,0,1795349704250000);
INSERT INTO "calls" VALUES(5,1,1,1,3,1,1795348804250000,1795348804250000,0,0,0,NULL,0,NULL,4,1,0,NULL,0,13,NULL);
INSERT INTO "calls" VALUES(6,2,3,2,3,4,1795348800250000,NULL,2,0,2,NULL,NULL,9,NULL,NULL,0,NULL,0,0,NULL);
CREATE TABLE dearest (
        api TEXT NOT NULL,
        model TEXT NOT NULL,
        price_key TEXT NOT NULL,
        tokens BIGINT NOT NULL,
        PRIMARY KEY (api, model, price_key)
    ) WITHOUT ROWID
    ;
INSERT INTO "dearest" VALUES('https://elumenta.ru','dall-e-3','p1',13);
CREATE TABLE details (
        call_id BIGINT NOT NULL PRIMARY KEY,
        prompt_hash TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        price_key TEXT NOT NULL,
        source_hash TEXT NOT NULL,
        run TEXT NOT NULL,
        count_index INTEGER NOT NULL,
        folder TEXT NOT NULL,
        params TEXT NOT NULL,
        media TEXT NOT NULL,
        error TEXT NOT NULL
    );
INSERT INTO "details" VALUES(1,'','f1','p1','5ab','r1',0,'','{}','["hero.png"]','');
INSERT INTO "details" VALUES(2,'','f1','p1','5ab','r1',0,'','{"duration":4}','[]','');
INSERT INTO "details" VALUES(3,'','f1','p1','5ab','r1',0,'','{}','[]','provider_error');
INSERT INTO "details" VALUES(4,'','f1','p1','5ab','r1',0,'','{}','[]','lost');
INSERT INTO "details" VALUES(5,'','','','5ab','r1',0,'','{}','[]','');
INSERT INTO "details" VALUES(6,'','','','','',0,'','{}','[]','');
CREATE TABLE kernels (
        no INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        first_us BIGINT NOT NULL
    );
INSERT INTO "kernels" VALUES(1,'k1',1795348800250000);
INSERT INTO "kernels" VALUES(2,'',1795348800250000);
CREATE TABLE migrations (number INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, at_us BIGINT NOT NULL);
INSERT INTO "migrations" VALUES(1,'first',1795362380087386);
CREATE TABLE models (
        no INTEGER PRIMARY KEY,
        category TEXT NOT NULL,
        model TEXT NOT NULL,
        provider TEXT NOT NULL,
        UNIQUE (category, model, provider)
    );
INSERT INTO "models" VALUES(1,'image','dall-e-3','OpenAI');
INSERT INTO "models" VALUES(2,'video','sora-2','OpenAI');
INSERT INTO "models" VALUES(3,'text','gpt-5','');
CREATE TABLE notices (
        name TEXT NOT NULL PRIMARY KEY,
        at_us BIGINT NOT NULL
    );
INSERT INTO "notices" VALUES('credits',1795348804250000);
CREATE TABLE places (
        no INTEGER PRIMARY KEY,
        digest VARCHAR(40) NOT NULL UNIQUE,
        api TEXT NOT NULL,
        account TEXT NOT NULL,
        "user" TEXT NOT NULL,
        host TEXT NOT NULL,
        notebook TEXT NOT NULL,
        cell_id TEXT NOT NULL,
        label TEXT NOT NULL,
        tags TEXT NOT NULL,
        source TEXT NOT NULL
    );
INSERT INTO "places" VALUES(1,'fb202bcfe1d3f18d4fdd833d0f600421f0ee06ec','https://elumenta.ru','7','anna','lab','story.ipynb-1a2b','c1','hero','["demo","hero"]','magic');
INSERT INTO "places" VALUES(2,'4e53a8a5240af817b10ce1a709336af874ad9c0e','https://elumenta.ru','7','','','','','','','elsewhere');
CREATE TABLE sums (
        place_no INTEGER NOT NULL,
        model_no INTEGER NOT NULL,
        calls BIGINT NOT NULL,
        tokens BIGINT NOT NULL,
        held BIGINT NOT NULL,
        failed BIGINT NOT NULL,
        reused BIGINT NOT NULL,
        saved BIGINT NOT NULL,
        first_us BIGINT NOT NULL,
        last_us BIGINT NOT NULL,
        PRIMARY KEY (place_no, model_no)
    ) WITHOUT ROWID
    ;
INSERT INTO "sums" VALUES(1,1,4,13,13,1,1,13,1795348800250000,1795348804250000);
INSERT INTO "sums" VALUES(1,2,1,0,42,0,0,0,1795348804250000,1795348804250000);
INSERT INTO "sums" VALUES(2,3,1,2,0,0,0,0,1795348800250000,1795348800250000);
CREATE INDEX calls_started ON calls (started_us);
CREATE INDEX calls_open ON calls (id) WHERE status < 3;
CREATE INDEX calls_generation_no ON calls (generation_no) WHERE generation_no IS NOT NULL;
CREATE INDEX calls_generation_name ON calls (generation_name) WHERE generation_name IS NOT NULL;
CREATE VIEW spend AS
    SELECT c.id, c.started_us, c.ended_us, p.api, p.account, p."user", p.host, p.notebook, p.cell_id,
        c.execution_count, p.label, p.tags, p.source, m.category, m.model, m.provider,
        CASE c.status WHEN 0 THEN 'reserved' WHEN 1 THEN 'pending' WHEN 2 THEN 'unknown' WHEN 3 THEN 'completed'
            WHEN 4 THEN 'failed' ELSE 'cancelled' END AS status,
        c.quoted, c.held, c.tokens, c.balance_after, c.latency_us,
        COALESCE(c.generation_name, CAST(c.generation_no AS TEXT)) AS generation_id,
        c.attempts, c.flags % 2 AS reused, c.saved, c.restored_from, c.prompt_chars,
        d.prompt_hash, d.params, d.media, d.error
    FROM calls c
    JOIN places p ON p.no = c.place_no
    JOIN models m ON m.no = c.model_no
    JOIN details d ON d.call_id = c.id;
COMMIT;
