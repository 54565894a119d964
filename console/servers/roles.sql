-- Runs after every start, and creates what is missing. Passwords come from the environment, so no command line shows them.
\set ON_ERROR_STOP on
\getenv owner_password OWNER_PASSWORD
\getenv app_password APP_PASSWORD
SELECT rolsuper AS is_superuser FROM pg_roles WHERE rolname = current_user \gset
\if :is_superuser
SET log_min_error_statement = panic; -- no password reaches the log
\endif

SELECT 'CREATE ROLE moneyback_owner LOGIN'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'moneyback_owner') \gexec
SELECT 'CREATE ROLE moneyback_app NOLOGIN'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'moneyback_app') \gexec
SELECT 'CREATE ROLE moneyback LOGIN IN ROLE moneyback_app'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'moneyback') \gexec

\if :is_superuser
\else
GRANT moneyback_owner TO CURRENT_USER; -- the administrator of a managed server can create roles, but is no superuser
\endif

ALTER ROLE moneyback_owner PASSWORD :'owner_password';
ALTER ROLE moneyback PASSWORD :'app_password';

SELECT 'CREATE DATABASE moneyback OWNER moneyback_owner'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'moneyback') \gexec
REVOKE ALL ON DATABASE moneyback FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE moneyback TO moneyback_app;
