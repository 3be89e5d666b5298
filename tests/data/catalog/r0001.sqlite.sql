BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE artifacts (
	recipe VARCHAR NOT NULL, 
	operation VARCHAR NOT NULL, 
	sha256 VARCHAR NOT NULL, 
	size_bytes BIGINT NOT NULL, 
	made_at DATETIME NOT NULL, 
	CONSTRAINT pk_artifacts PRIMARY KEY (recipe)
);
INSERT INTO "artifacts" VALUES('4444444444444444444444444444444444444444444444444444444444444444','speak','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',160044,'2026-11-01 09:10:00');
CREATE TABLE deliveries (
	job_id VARCHAR NOT NULL, 
	language VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	outputs JSON NOT NULL, 
	checks JSON NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT pk_deliveries PRIMARY KEY (job_id, language), 
	CONSTRAINT fk_deliveries_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
);
INSERT INTO "deliveries" VALUES('20261101-090000-aaaaa','es','completed_with_review','{"audio":"talk.es.m4a"}','[]','2026-11-01 09:20:00');
CREATE TABLE events (
	id INTEGER NOT NULL, 
	job_id VARCHAR NOT NULL, 
	at DATETIME NOT NULL, 
	kind VARCHAR NOT NULL, 
	detail JSON NOT NULL, 
	CONSTRAINT pk_events PRIMARY KEY (id), 
	CONSTRAINT fk_events_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
);
INSERT INTO "events" VALUES(1,'20261101-090000-aaaaa','2026-11-01 09:00:00','state','{"to":"queued"}');
CREATE TABLE jobs (
	id VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	fingerprint VARCHAR NOT NULL, 
	request JSON NOT NULL, 
	facts JSON NOT NULL, 
	out VARCHAR NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	cancel_requested_at DATETIME, 
	CONSTRAINT pk_jobs PRIMARY KEY (id), 
	CONSTRAINT ck_jobs_state CHECK (state IN ('queued', 'running', 'completed', 'completed_with_review', 'stale', 'failed', 'cancelled'))
);
INSERT INTO "jobs" VALUES('20261101-090000-aaaaa','dub','completed_with_review','1111111111111111111111111111111111111111111111111111111111111111','{"source":"talk.mp4","targets":["es"]}','{"duration_s":59.8}','/out/a','2026-11-01 09:00:00','2026-11-01 09:20:00',NULL);
INSERT INTO "jobs" VALUES('20261102-090000-bbbbb','dub','running','2222222222222222222222222222222222222222222222222222222222222222','{}','{}','/out/b','2026-11-02 09:00:00','2026-11-02 09:01:00','2026-11-02 09:01:00');
CREATE TABLE lines (
	job_id VARCHAR NOT NULL, 
	language VARCHAR NOT NULL, 
	line_id VARCHAR NOT NULL, 
	position INTEGER NOT NULL, 
	speaker VARCHAR NOT NULL, 
	text VARCHAR NOT NULL, 
	spoken VARCHAR NOT NULL, 
	style VARCHAR NOT NULL, 
	start_samples BIGINT, 
	end_samples BIGINT, 
	words JSON NOT NULL, 
	doubts JSON NOT NULL, 
	source VARCHAR NOT NULL, 
	revision INTEGER NOT NULL, 
	edited BOOLEAN NOT NULL, 
	seed INTEGER NOT NULL, 
	CONSTRAINT pk_lines PRIMARY KEY (job_id, language, line_id), 
	CONSTRAINT fk_lines_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
);
INSERT INTO "lines" VALUES('20261101-090000-aaaaa','es','0000',0,'Ana','¿Qué es la línea 0?','','',0,40000,'[]','[]','3333333333333333333333333333333333333333333333333333333333333333',1,0,0);
INSERT INTO "lines" VALUES('20261101-090000-aaaaa','es','0001',1,'Ana','¿Qué es la línea 1?','','',48000,88000,'[]','[]','3333333333333333333333333333333333333333333333333333333333333333',1,1,0);
INSERT INTO "lines" VALUES('20261101-090000-aaaaa','es','0002',2,'Ana','¿Qué es la línea 2?','','',96000,136000,'[]','[]','3333333333333333333333333333333333333333333333333333333333333333',1,0,0);
INSERT INTO "lines" VALUES('20261102-090000-bbbbb','es','0000',0,'Ana','¿Qué es la línea 0?','','',0,40000,'[]','[]','3333333333333333333333333333333333333333333333333333333333333333',1,0,0);
INSERT INTO "lines" VALUES('20261102-090000-bbbbb','es','0001',1,'Ana','¿Qué es la línea 1?','','',48000,88000,'[]','[]','3333333333333333333333333333333333333333333333333333333333333333',1,1,0);
CREATE TABLE takes (
	job_id VARCHAR NOT NULL, 
	language VARCHAR NOT NULL, 
	line_id VARCHAR NOT NULL, 
	number INTEGER NOT NULL, 
	recipe VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	attempts INTEGER NOT NULL, 
	owner VARCHAR, 
	lease_until_s DOUBLE, 
	fence INTEGER NOT NULL, 
	audio VARCHAR, 
	measured JSON, 
	verdict VARCHAR, 
	reasons JSON NOT NULL, 
	error VARCHAR, 
	CONSTRAINT pk_takes PRIMARY KEY (job_id, language, line_id, number), 
	CONSTRAINT ck_takes_state CHECK (state IN ('ordered', 'leased', 'done', 'failed')), 
	CONSTRAINT fk_takes_job_id_language_line_id_lines FOREIGN KEY(job_id, language, line_id) REFERENCES lines (job_id, language, line_id) ON DELETE CASCADE
);
INSERT INTO "takes" VALUES('20261101-090000-aaaaa','es','0000',1,'4444444444444444444444444444444444444444444444444444444444444444','done',1,NULL,NULL,2,'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','{"error_rate":null,"length_samples":40000,"loudness_lufs":-20.5,"peak_dbfs":-3.1,"speech_end_samples":39000,"speech_start_samples":500}','passed','[]',NULL);
INSERT INTO "takes" VALUES('20261101-090000-aaaaa','es','0001',1,'4444444444444444444444444444444444444444444444444444444444444444','done',1,NULL,NULL,2,'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','{"error_rate":null,"length_samples":40000,"loudness_lufs":-20.5,"peak_dbfs":-3.1,"speech_end_samples":39000,"speech_start_samples":500}','review','["too-long"]',NULL);
INSERT INTO "takes" VALUES('20261101-090000-aaaaa','es','0001',2,'4444444444444444444444444444444444444444444444444444444444444444','done',1,NULL,NULL,2,'cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc','{"error_rate":null,"length_samples":40000,"loudness_lufs":-20.5,"peak_dbfs":-3.1,"speech_end_samples":39000,"speech_start_samples":500}','passed','[]',NULL);
INSERT INTO "takes" VALUES('20261101-090000-aaaaa','es','0002',1,'4444444444444444444444444444444444444444444444444444444444444444','done',1,NULL,NULL,2,NULL,NULL,'failed','["engine-refused"]',NULL);
INSERT INTO "takes" VALUES('20261102-090000-bbbbb','es','0000',1,'4444444444444444444444444444444444444444444444444444444444444444','leased',1,'worker-1',1793000000.5,2,NULL,NULL,NULL,'[]',NULL);
INSERT INTO "takes" VALUES('20261102-090000-bbbbb','es','0001',1,'4444444444444444444444444444444444444444444444444444444444444444','ordered',0,NULL,NULL,1,NULL,NULL,NULL,'[]',NULL);
INSERT INTO "takes" VALUES('20261102-090000-bbbbb','es','0001',2,'4444444444444444444444444444444444444444444444444444444444444444','failed',3,NULL,NULL,4,NULL,NULL,NULL,'[]','out of memory');
CREATE TABLE voices (
	job_id VARCHAR NOT NULL, 
	language VARCHAR NOT NULL, 
	speaker VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	engine VARCHAR NOT NULL, 
	settings JSON NOT NULL, 
	reference VARCHAR, 
	consent JSON, 
	CONSTRAINT pk_voices PRIMARY KEY (job_id, language, speaker), 
	CONSTRAINT fk_voices_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
);
INSERT INTO "voices" VALUES('20261101-090000-aaaaa','es','Ana','es+f2','offline','{"variant":"f2"}',NULL,NULL);
CREATE INDEX ix_jobs_created_at ON jobs (created_at);
CREATE INDEX ix_jobs_fingerprint_created_at ON jobs (fingerprint, created_at);
CREATE INDEX ix_takes_job_id_language_state ON takes (job_id, language, state);
CREATE INDEX ix_artifacts_sha256 ON artifacts (sha256);
CREATE INDEX ix_events_job_id ON events (job_id);
COMMIT;
