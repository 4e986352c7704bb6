"""The console: pages over the API's queries, for the people who live with it. They work without JavaScript, too."""
