-- Run once, when the volume is new. The services own their database and nothing else; the superuser is for people.
\set password `cat /run/secrets/database_password`
CREATE ROLE driverlink LOGIN PASSWORD :'password';
CREATE DATABASE driverlink OWNER driverlink ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE driverlink FROM PUBLIC;
