CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.artifacts (
    recipe character varying NOT NULL,
    operation character varying NOT NULL,
    sha256 character varying NOT NULL,
    size_bytes bigint NOT NULL,
    made_at timestamp with time zone NOT NULL
);
CREATE TABLE public.deliveries (
    job_id character varying NOT NULL,
    language character varying NOT NULL,
    state character varying NOT NULL,
    outputs jsonb NOT NULL,
    checks jsonb NOT NULL,
    updated_at timestamp with time zone NOT NULL
);
CREATE TABLE public.events (
    id integer NOT NULL,
    job_id character varying NOT NULL,
    at timestamp with time zone NOT NULL,
    kind character varying NOT NULL,
    detail jsonb NOT NULL
);
CREATE SEQUENCE public.events_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.events_id_seq OWNED BY public.events.id;
CREATE TABLE public.jobs (
    id character varying NOT NULL,
    kind character varying NOT NULL,
    state character varying NOT NULL,
    fingerprint character varying NOT NULL,
    request jsonb NOT NULL,
    facts jsonb NOT NULL,
    "out" character varying NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    cancel_requested_at timestamp with time zone,
    CONSTRAINT ck_jobs_state CHECK (((state)::text = ANY ((ARRAY['queued'::character varying, 'running'::character varying, 'completed'::character varying, 'completed_with_review'::character varying, 'stale'::character varying, 'failed'::character varying, 'cancelled'::character varying])::text[])))
);
CREATE TABLE public.lines (
    job_id character varying NOT NULL,
    language character varying NOT NULL,
    line_id character varying NOT NULL,
    "position" integer NOT NULL,
    speaker character varying NOT NULL,
    text character varying NOT NULL,
    spoken character varying NOT NULL,
    style character varying NOT NULL,
    start_samples bigint,
    end_samples bigint,
    words jsonb NOT NULL,
    doubts jsonb NOT NULL,
    source character varying NOT NULL,
    revision integer NOT NULL,
    edited boolean NOT NULL,
    seed integer NOT NULL
);
CREATE TABLE public.takes (
    job_id character varying NOT NULL,
    language character varying NOT NULL,
    line_id character varying NOT NULL,
    number integer NOT NULL,
    recipe character varying NOT NULL,
    state character varying NOT NULL,
    attempts integer NOT NULL,
    owner character varying,
    lease_until_s double precision,
    fence integer NOT NULL,
    audio character varying,
    measured jsonb,
    verdict character varying,
    reasons jsonb NOT NULL,
    error character varying,
    CONSTRAINT ck_takes_state CHECK (((state)::text = ANY ((ARRAY['ordered'::character varying, 'leased'::character varying, 'done'::character varying, 'failed'::character varying])::text[])))
);
CREATE TABLE public.voices (
    job_id character varying NOT NULL,
    language character varying NOT NULL,
    speaker character varying NOT NULL,
    name character varying NOT NULL,
    engine character varying NOT NULL,
    settings jsonb NOT NULL,
    reference character varying,
    consent jsonb
);
ALTER TABLE ONLY public.events ALTER COLUMN id SET DEFAULT nextval('public.events_id_seq'::regclass);
INSERT INTO public.alembic_version VALUES ('0001');
INSERT INTO public.artifacts VALUES ('4444444444444444444444444444444444444444444444444444444444444444', 'speak', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 160044, '2026-11-01 09:10:00+00');
INSERT INTO public.deliveries VALUES ('20261101-090000-aaaaa', 'es', 'completed_with_review', '{"audio": "talk.es.m4a"}', '[]', '2026-11-01 09:20:00+00');
INSERT INTO public.events VALUES (1, '20261101-090000-aaaaa', '2026-11-01 09:00:00+00', 'state', '{"to": "queued"}');
INSERT INTO public.jobs VALUES ('20261101-090000-aaaaa', 'dub', 'completed_with_review', '1111111111111111111111111111111111111111111111111111111111111111', '{"source": "talk.mp4", "targets": ["es"]}', '{"duration_s": 59.8}', '/out/a', '2026-11-01 09:00:00+00', '2026-11-01 09:20:00+00', NULL);
INSERT INTO public.jobs VALUES ('20261102-090000-bbbbb', 'dub', 'running', '2222222222222222222222222222222222222222222222222222222222222222', '{}', '{}', '/out/b', '2026-11-02 09:00:00+00', '2026-11-02 09:01:00+00', '2026-11-02 09:01:00+00');
INSERT INTO public.lines VALUES ('20261101-090000-aaaaa', 'es', '0000', 0, 'Ana', '¿Qué es la línea 0?', '', '', 0, 40000, '[]', '[]', '3333333333333333333333333333333333333333333333333333333333333333', 1, false, 0);
INSERT INTO public.lines VALUES ('20261101-090000-aaaaa', 'es', '0001', 1, 'Ana', '¿Qué es la línea 1?', '', '', 48000, 88000, '[]', '[]', '3333333333333333333333333333333333333333333333333333333333333333', 1, true, 0);
INSERT INTO public.lines VALUES ('20261101-090000-aaaaa', 'es', '0002', 2, 'Ana', '¿Qué es la línea 2?', '', '', 96000, 136000, '[]', '[]', '3333333333333333333333333333333333333333333333333333333333333333', 1, false, 0);
INSERT INTO public.lines VALUES ('20261102-090000-bbbbb', 'es', '0000', 0, 'Ana', '¿Qué es la línea 0?', '', '', 0, 40000, '[]', '[]', '3333333333333333333333333333333333333333333333333333333333333333', 1, false, 0);
INSERT INTO public.lines VALUES ('20261102-090000-bbbbb', 'es', '0001', 1, 'Ana', '¿Qué es la línea 1?', '', '', 48000, 88000, '[]', '[]', '3333333333333333333333333333333333333333333333333333333333333333', 1, true, 0);
INSERT INTO public.takes VALUES ('20261101-090000-aaaaa', 'es', '0000', 1, '4444444444444444444444444444444444444444444444444444444444444444', 'done', 1, NULL, NULL, 2, 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', '{"peak_dbfs": -3.1, "error_rate": null, "loudness_lufs": -20.5, "length_samples": 40000, "speech_end_samples": 39000, "speech_start_samples": 500}', 'passed', '[]', NULL);
INSERT INTO public.takes VALUES ('20261101-090000-aaaaa', 'es', '0001', 1, '4444444444444444444444444444444444444444444444444444444444444444', 'done', 1, NULL, NULL, 2, 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb', '{"peak_dbfs": -3.1, "error_rate": null, "loudness_lufs": -20.5, "length_samples": 40000, "speech_end_samples": 39000, "speech_start_samples": 500}', 'review', '["too-long"]', NULL);
INSERT INTO public.takes VALUES ('20261101-090000-aaaaa', 'es', '0001', 2, '4444444444444444444444444444444444444444444444444444444444444444', 'done', 1, NULL, NULL, 2, 'cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc', '{"peak_dbfs": -3.1, "error_rate": null, "loudness_lufs": -20.5, "length_samples": 40000, "speech_end_samples": 39000, "speech_start_samples": 500}', 'passed', '[]', NULL);
INSERT INTO public.takes VALUES ('20261101-090000-aaaaa', 'es', '0002', 1, '4444444444444444444444444444444444444444444444444444444444444444', 'done', 1, NULL, NULL, 2, NULL, NULL, 'failed', '["engine-refused"]', NULL);
INSERT INTO public.takes VALUES ('20261102-090000-bbbbb', 'es', '0000', 1, '4444444444444444444444444444444444444444444444444444444444444444', 'leased', 1, 'worker-1', 1793000000.5, 2, NULL, NULL, NULL, '[]', NULL);
INSERT INTO public.takes VALUES ('20261102-090000-bbbbb', 'es', '0001', 1, '4444444444444444444444444444444444444444444444444444444444444444', 'ordered', 0, NULL, NULL, 1, NULL, NULL, NULL, '[]', NULL);
INSERT INTO public.takes VALUES ('20261102-090000-bbbbb', 'es', '0001', 2, '4444444444444444444444444444444444444444444444444444444444444444', 'failed', 3, NULL, NULL, 4, NULL, NULL, NULL, '[]', 'out of memory');
INSERT INTO public.voices VALUES ('20261101-090000-aaaaa', 'es', 'Ana', 'es+f2', 'offline', '{"variant": "f2"}', NULL, NULL);
SELECT pg_catalog.setval('public.events_id_seq', 1, true);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.artifacts
    ADD CONSTRAINT pk_artifacts PRIMARY KEY (recipe);
ALTER TABLE ONLY public.deliveries
    ADD CONSTRAINT pk_deliveries PRIMARY KEY (job_id, language);
ALTER TABLE ONLY public.events
    ADD CONSTRAINT pk_events PRIMARY KEY (id);
ALTER TABLE ONLY public.jobs
    ADD CONSTRAINT pk_jobs PRIMARY KEY (id);
ALTER TABLE ONLY public.lines
    ADD CONSTRAINT pk_lines PRIMARY KEY (job_id, language, line_id);
ALTER TABLE ONLY public.takes
    ADD CONSTRAINT pk_takes PRIMARY KEY (job_id, language, line_id, number);
ALTER TABLE ONLY public.voices
    ADD CONSTRAINT pk_voices PRIMARY KEY (job_id, language, speaker);
CREATE INDEX ix_artifacts_sha256 ON public.artifacts USING btree (sha256);
CREATE INDEX ix_events_job_id ON public.events USING btree (job_id);
CREATE INDEX ix_jobs_created_at ON public.jobs USING btree (created_at);
CREATE INDEX ix_jobs_fingerprint_created_at ON public.jobs USING btree (fingerprint, created_at);
CREATE INDEX ix_takes_job_id_language_state ON public.takes USING btree (job_id, language, state);
ALTER TABLE ONLY public.deliveries
    ADD CONSTRAINT fk_deliveries_job_id_jobs FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.events
    ADD CONSTRAINT fk_events_job_id_jobs FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.lines
    ADD CONSTRAINT fk_lines_job_id_jobs FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.takes
    ADD CONSTRAINT fk_takes_job_id_language_line_id_lines FOREIGN KEY (job_id, language, line_id) REFERENCES public.lines(job_id, language, line_id) ON DELETE CASCADE;
ALTER TABLE ONLY public.voices
    ADD CONSTRAINT fk_voices_job_id_jobs FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;
